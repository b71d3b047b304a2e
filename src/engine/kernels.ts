import { rareKernels, signatures } from "./signatures.ts";

export type KernelName = keyof typeof signatures;

export const isKernel = (name: string): name is KernelName =>
	Object.hasOwn(signatures, name);

const rare = new Set<KernelName>(rareKernels);

/** Whether a kernel is in the second module, which only models with weights of rare layouts need. */
export const isRare = (kernel: KernelName): boolean => rare.has(kernel);

/** [name, alias] pairs of kernel K's parameters, the range [lo, hi) excluded: that belongs to the runner. */
type Parameter<K extends KernelName> = Exclude<
	(typeof signatures)[K][number],
	readonly ["lo" | "hi", string]
>;

/** Named arguments of kernel K as plain numbers: addresses in bytes, sizes in elements. */
export type NumericArgs<K extends KernelName> = {
	[P in Parameter<K> as P[0]]: number;
};

/** Named arguments of kernel K, where Pointers says what the host passes for each pointer alias. */
export type Args<
	K extends KernelName,
	Pointers extends Record<string, unknown>,
> = {
	[P in Parameter<K> as P[0]]: P[1] extends keyof Pointers
		? Pointers[P[1]]
		: never;
};

/** What compiled modules export: every argument a number, in the order of the declaration, then lo and hi. Rare kernels are only there where their module is. */
export type Kernels = Readonly<Record<KernelName, (...args: number[]) => void>>;

/** Kernel K's parameter names in order, without lo and hi. */
export function parameterNames(kernel: KernelName): readonly string[] {
	return signatures[kernel].slice(0, -2).map(([name]) => name);
}

const SECTION_IMPORT = 2;
const KIND_MEMORY = 2;
const LIMITS_SHARED = 2;

/**
 * Compiles a module of kernels for a shared or an unshared memory. The bytes are built for an unshared one; which of the two
 * a module expects is one bit in the limits of its memory import, so that bit is set here instead of shipping every build twice.
 */
export function compileKernels(
	bytes: Uint8Array<ArrayBuffer>,
	shared: boolean,
): WebAssembly.Module {
	const copy = Uint8Array.from(bytes);
	if (shared) copy[memoryLimitsOffset(copy)]! |= LIMITS_SHARED;
	return new WebAssembly.Module(copy);
}

/** Offset of the limits flag of the first (and only) import, which is the memory. */
function memoryLimitsOffset(bytes: Uint8Array): number {
	let at = 8;
	const varint = () => {
		let value = 0;
		for (let shift = 0; ; shift += 7) {
			const byte = bytes[at++]!;
			value |= (byte & 127) << shift;
			if (byte < 128) return value;
		}
	};
	const skipName = () => {
		const length = varint();
		at += length;
	};
	while (at < bytes.length) {
		const section = bytes[at++];
		const size = varint();
		if (section !== SECTION_IMPORT) {
			at += size;
			continue;
		}
		varint(); // number of imports
		skipName(); // module
		skipName(); // field
		if (bytes[at] !== KIND_MEMORY) break;
		return at + 1;
	}
	throw new Error("kernel module: the first import is not a memory");
}

/** The kernels of several modules over one memory: each keeps its constants at addresses of its own. */
export function instantiateKernels(
	modules: readonly WebAssembly.Module[],
	memory: WebAssembly.Memory,
): Kernels {
	const instances = modules.map(
		(module) => new WebAssembly.Instance(module, { env: { memory } }),
	);
	return Object.assign({}, ...instances.map(({ exports }) => exports));
}
