/** The kernels of rare layouts for plain WebAssembly SIMD, base64. Written by the build. */
export declare const base64: string;
