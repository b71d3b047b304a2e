/** Matrix kernels on the true shapes: GMAC/s, GB/s of weights, and how much of what memory can be read at. One thread. */
import { readFileSync } from "node:fs";
import { Bench } from "tinybench";
import {
	compileKernels,
	instantiateKernels,
	type KernelName,
	parameterNames,
} from "../src/engine/kernels.ts";
import {
	activations,
	type Layout,
	type LayoutInfo,
	layouts,
	RESERVED_BYTES,
	SCRATCH_BYTES,
} from "../src/engine/layouts.ts";
import { measureReadBandwidth } from "./roofline.ts";
import { matrices, type ShapeName, shapes } from "./shapes.ts";
import { digits, printTable } from "./table.ts";

const ROWS = [1, 128];
/** Of a layer and of the output, each size once. */
const PARTS = /token_embd|blk\.0\./;
const BLOCK = 32;
const MILLISECONDS = 100;
/** Calls at least, however long they take. */
const ITERATIONS = 3;
const ALIGNMENT = 64;
/** Makes scales and 16-bit weights of about 1 or 0.01: denormal ones would be slow. */
const SANE_BYTE = 0x3c;

export interface KernelSpeed {
	readonly shape: ShapeName;
	readonly kernel: KernelName;
	readonly n: number;
	readonly k: number;
	readonly rows: number;
	/** Best and median. */
	readonly gigaMacs: readonly [number, number];
	readonly gigaBytes: readonly [number, number];
}

const LAYOUTS: readonly Layout[] = [
	"qb8_qb4w_f16",
	"qb8_qb8w",
	"qd8_qb4w_bf16",
	"f16w",
	"bf16w",
];

export async function benchKernels(
	names: readonly ShapeName[],
	target: "simd" | "relaxed",
): Promise<KernelSpeed[]> {
	const speeds: KernelSpeed[] = [];
	for (const shape of names) {
		const seen = new Set<string>();
		const sizes = matrices(shapes[shape]).filter(([name, n, k]) => {
			const isNew = PARTS.test(name) && !seen.has(`${n} ${k}`);
			if (isNew) seen.add(`${n} ${k}`);
			return isNew;
		});
		for (const [, n, k] of sizes)
			for (const rows of ROWS)
				speeds.push(...(await benchSize(shape, n, k, rows, target)));
	}
	return speeds;
}

/** All layouts of one size in turn, so that they meet the same machine. */
async function benchSize(
	shape: ShapeName,
	n: number,
	k: number,
	rows: number,
	target: "simd" | "relaxed",
): Promise<KernelSpeed[]> {
	const bench = new Bench({
		time: MILLISECONDS,
		iterations: ITERATIONS,
		warmupTime: 0,
		warmupIterations: 1,
	});
	const calls = LAYOUTS.map((layout) => prepare(layout, n, k, rows, target));
	for (const { run, kernel } of calls) bench.add(kernel, run);
	await bench.run();
	return calls.map(({ kernel, bytes }, i) => {
		const { result } = bench.tasks[i]!;
		if (!("latency" in result)) throw new Error(`${kernel} did not run`);
		const { min, p50 } = result.latency;
		const per = (amount: number): readonly [number, number] => [
			amount / min / 1e6,
			amount / p50 / 1e6,
		];
		return {
			shape,
			kernel,
			n,
			k,
			rows,
			gigaMacs: per(n * k * rows),
			gigaBytes: per(bytes),
		};
	});
}

/** A call of a layout's kernel over zeros: how long it takes does not depend on the numbers. */
function prepare(
	layout: Layout,
	n: number,
	k: number,
	rows: number,
	target: "simd" | "relaxed",
) {
	const info: LayoutInfo = layouts[layout];
	const bytes = info.bytes(n, k, BLOCK);
	let end = RESERVED_BYTES;
	const place = (size: number) => {
		const at = end;
		end += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
		return at;
	};
	const args: Record<string, number> = {
		y: place(4 * rows * n),
		x: place(rows * activations[info.activation].rowBytes(k)),
		w: place(bytes),
		scratch: place(SCRATCH_BYTES),
		bias: 0,
		residual: 0,
		rows,
		n,
		k,
		block: BLOCK,
	};
	const memory = new WebAssembly.Memory({
		initial: Math.ceil(end / 65536),
		maximum: 65535,
	});
	const modules = [target, `${target}-rare`].map((build) =>
		compileKernels(Uint8Array.from(readFileSync(`build/${build}.wasm`)), false),
	);
	const kernels = instantiateKernels(modules, memory);
	const values = parameterNames(info.gemm).map((name) => args[name]!);
	// Memory that was never written is one page of zeros: fast to read as weights, slow as inputs, whose rows then share lines.
	new Uint8Array(memory.buffer, RESERVED_BYTES, end - RESERVED_BYTES).fill(
		SANE_BYTE,
	);
	return {
		kernel: info.gemm,
		bytes,
		run: () => kernels[info.gemm](...values, 0, n),
	};
}

export async function printKernels(
	speeds: readonly KernelSpeed[],
): Promise<string> {
	const roofline = Math.max(...(await measureReadBandwidth(1))) / 1e9;
	const lines = speeds.map((s) => [
		s.shape,
		`${s.n}×${s.k}`,
		String(s.rows),
		s.kernel,
		digits(s.gigaMacs[0]),
		digits(s.gigaMacs[1]),
		digits(s.gigaBytes[0]),
		`${((100 * s.gigaBytes[0]) / roofline).toFixed(0)} %`,
	]);
	return [
		`One thread; memory is read at ${roofline.toFixed(1)} GB/s. Best and (median) of ${MILLISECONDS} ms each.`,
		printTable([
			[
				"model",
				"n×k",
				"rows",
				"kernel",
				"GMAC/s",
				"(median)",
				"GB/s",
				"of reading",
			],
			...lines,
		]),
	].join("\n\n");
}
