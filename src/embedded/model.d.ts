/** The files of the embedded model by name, base64. Written by the build. */
export declare const files: Readonly<Record<string, string>>;
