import type { KernelName } from "./kernels.ts";

/** The start of every memory, where compiled modules keep their constant vectors: nothing may be allocated there. */
export const RESERVED_BYTES = 4096;

/** Memory that each part owns in each bank, for kernels to spill into. */
export const SCRATCH_BYTES = 512 * 1024;

/** How a linear layer's input reaches the kernel: as it is, or quantized once per input and shared by all that read it. */
export interface Activation {
	/** Turns f32[rows, k] into rows of `rowBytes(k)` bytes; undefined for plain f32. */
	readonly quantize: KernelName | undefined;
	readonly rowBytes: (k: number) => number;
}

export const activations = {
	f32: { quantize: undefined, rowBytes: (k) => 4 * k },
} as const satisfies Record<string, Activation>;

export type ActivationName = keyof typeof activations;

/** How a weight matrix [n, k] is kept in memory, and the kernels that read it. */
export interface LayoutInfo {
	/** y[t, j] = Σ_k x[t, k] · w[j, k]; units are rows of w, in multiples of 16. */
	readonly gemm: KernelName;
	/** y[t, :] = w[token[t], :] */
	readonly embed: KernelName;
	readonly activation: ActivationName;
	/** Bytes of the packed matrix; `block` is the number of columns that share a scale, 0 where there is none. */
	readonly bytes: (n: number, k: number, block: number) => number;
}

export const layouts = {} as const satisfies Record<string, LayoutInfo>;

export type Layout = keyof typeof layouts;
