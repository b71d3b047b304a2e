/** Source text of the worker that holds a page's engine: runtime/web-worker.ts, bundled. Written by the build. */
export declare const source: string;
