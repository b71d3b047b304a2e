/** The kernels for WebAssembly relaxed SIMD, base64. Written by the build. */
export declare const base64: string;
