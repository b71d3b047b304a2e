/** Source text of a worker thread: runtime/part.ts, bundled. Written by the build. */
export declare const source: string;
