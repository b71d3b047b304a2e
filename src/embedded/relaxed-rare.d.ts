/** The kernels of rare layouts for WebAssembly relaxed SIMD, base64. Written by the build. */
export declare const base64: string;
