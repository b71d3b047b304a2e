import { describe, expect, test } from "vitest";
import { Graph } from "../src/engine/graph.ts";
import { layouts } from "../src/engine/layouts.ts";
import type { Tensor, Weight } from "../src/engine/operands.ts";
import { signatures } from "../src/engine/signatures.ts";
import { affineDecoder } from "../src/quant/affine.ts";
import { affinePlanes } from "../src/quant/affine-planes.ts";
import type { Arrangement } from "../src/quant/arrangement.ts";
import { groupIndex } from "../src/quant/group-index.ts";
import type { Plane } from "../src/quant/scheme.ts";
import { storedBytes } from "./fixture.ts";

const ROWS = 5;

function plane(type: string, values: Int8Array | Float32Array): Plane {
	const all = new Uint8Array(values.buffer);
	const rowBytes = all.length / ROWS;
	return {
		name: type,
		type,
		rowBytes,
		async read(lo, hi, into = new Uint8Array((hi - lo) * rowBytes)) {
			into.set(all.subarray(lo * rowBytes, hi * rowBytes));
			return into.subarray(0, (hi - lo) * rowBytes);
		},
	};
}

/** Numbers that look random. */
const noise = (i: number) => (Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24;

interface Sizes {
	readonly bits: number;
	readonly cols: number;
	readonly block: number;
	readonly asymmetric?: boolean;
	readonly reordered?: boolean;
}

/** A matrix of such sizes: what a file has of it, and what it decodes to. */
async function matrixOf({ bits, cols, block, asymmetric, reordered }: Sizes) {
	const groups = Math.ceil(cols / block);
	const half = 2 ** (bits - 1);
	const integers = (count: number, seed: number) =>
		Int8Array.from({ length: count }, (_, i) =>
			Math.floor(noise(i + seed) * 2 * half - half),
		);
	const codes = integers(ROWS * cols, 0);
	const scales = Float32Array.from(
		{ length: ROWS * groups },
		(_, i) => 0.5 + noise(i),
	);
	const zeros = asymmetric ? integers(ROWS * groups, 7) : undefined;
	const index = Int32Array.from({ length: cols }, (_, c) =>
		Math.floor(((c * 7) % cols) / block),
	);
	const order = reordered
		? await groupIndex(
				storedBytes("i", "I32", [cols], new Uint8Array(index.buffer)),
				cols,
				groups,
			)
		: undefined;
	const tensor = storedBytes("w", "I8", [ROWS, cols], new Uint8Array(0));
	const parts = {
		codes: plane("I8", codes),
		scales: plane("F32", scales),
		zeros: zeros && plane("I8", zeros),
		bits,
		cols,
		block,
		order,
		tensor,
	};
	const decode = affineDecoder({
		cols,
		groups,
		precision: "F32",
		codes: async () => codes,
		scales: async () => scales,
		...(zeros && { zeros: async () => zeros }),
		groupOf: order?.groupOf ?? index.map((_, c) => Math.floor(c / block)),
	});
	return { parts, groups, decoded: await decode(0, ROWS) };
}

/** Columns as kernels see them, −1 for gaps. */
function seenColumns(
	{ width, block, columns }: Arrangement,
	blocks: number,
): Int32Array {
	if (columns) return columns;
	const wide = width / blocks;
	return Int32Array.from({ length: width }, (_, i) =>
		i % wide < block ? Math.floor(i / wide) * block + (i % wide) : -1,
	);
}

describe("planes hold the weights, each column once, without gaps", () => {
	test.each<Sizes>([
		{ bits: 4, cols: 96, block: 16 },
		{ bits: 4, cols: 96, block: 16, asymmetric: true },
		{ bits: 4, cols: 96, block: 48, asymmetric: true },
		{ bits: 4, cols: 128, block: 8 },
		{ bits: 4, cols: 240, block: 80 },
		{ bits: 4, cols: 100, block: 100, asymmetric: true },
		{ bits: 4, cols: 100, block: 64, asymmetric: true },
		{ bits: 4, cols: 63, block: 21, asymmetric: true },
		{ bits: 4, cols: 128, block: 64, reordered: true },
		{ bits: 4, cols: 128, block: 32, reordered: true, asymmetric: true },
		{ bits: 4, cols: 160, block: 40, reordered: true, asymmetric: true },
		{ bits: 3, cols: 120, block: 24, asymmetric: true },
		{ bits: 2, cols: 128, block: 64, reordered: true, asymmetric: true },
		{ bits: 6, cols: 144, block: 48, asymmetric: true },
		{ bits: 8, cols: 144, block: 48 },
		{ bits: 8, cols: 128, block: 32, reordered: true },
		{ bits: 8, cols: 100, block: 32 },
	])("%o", async (sizes) => {
		const { cols } = sizes;
		const { parts, groups, decoded } = await matrixOf(sizes);
		const { planes, arrangement, layout, pack } = affinePlanes(parts);
		const { block, width } = arrangement!;
		const columns = seenColumns(arrangement!, groups);
		expect(block).toBe(sizes.block);
		expect(width).toBe(groups * 32 * Math.ceil(block / 32));
		expect(columns.length).toBe(width);
		expect(`f32_${layout}` in layouts, layout).toBe(true);
		expect(pack in signatures, pack).toBe(true);

		const used = [...columns].filter((c) => c >= 0).sort((a, b) => a - b);
		expect(used).toEqual([...Array(cols).keys()]);
		const [codes, scales, zeros] = await Promise.all(
			planes.map(({ read }) => read(0, ROWS)),
		);
		const q = new Int8Array(codes!.buffer);
		const s = new Float32Array(scales!.buffer);
		const z = zeros && new Int8Array(zeros.buffer);
		expect(q.length).toBe(ROWS * groups * block);
		for (const [i, code] of q.entries()) {
			const group = Math.floor(i / block);
			const row = Math.floor(group / groups);
			const column =
				columns[(group % groups) * (width / groups) + (i % block)]!;
			expect(Math.fround((code - (z?.[group] ?? 0)) * s[group]!)).toBe(
				column < 0 ? 0 : decoded[row * cols + column],
			);
		}
		const last = await planes[0]!.read(ROWS - 1, ROWS);
		expect([...last]).toEqual([...codes!.subarray(-groups * block)]);
	});

	test.each<Sizes>([
		{ bits: 4, cols: 128, block: 64, asymmetric: true },
		{ bits: 8, cols: 100, block: 100 },
		{ bits: 8, cols: 96, block: 32, asymmetric: true },
		{ bits: 3, cols: 96, block: 96 },
	])("not arranged where kernels take them as they are: %o", async (sizes) => {
		const { parts } = await matrixOf(sizes);
		const { planes, arrangement } = affinePlanes(parts);
		expect(arrangement).toBeUndefined();
		expect(planes[0]).toBe(parts.codes);
	});
});

test("a zero point beyond the bits of the codes is named", async () => {
	const { parts } = await matrixOf({ bits: 4, cols: 64, block: 32 });
	const zeros = plane("I8", new Int8Array(2 * ROWS).fill(8, 4));
	const { planes } = affinePlanes({ ...parts, zeros });
	await planes[2]!.read(0, 2);
	await expect(planes[2]!.read(2, 3)).rejects.toThrow(
		"w has a zero point of 8, expected int4",
	);
});

describe("a recording", () => {
	const columns = Int32Array.from({ length: 64 }, (_, i) => 63 - i);
	const weight = (values?: Int32Array, layout = "f32_qb4w_f32"): Weight => ({
		name: "w",
		shape: [48, 64],
		layout,
		block: 32,
		columns: values && { values, offset: 4096 },
		bank: 0,
		address: 0,
	});
	const kernels = (record: (graph: Graph, x: Tensor) => void) => {
		const graph = new Graph();
		record(graph, graph.input(64));
		return graph.calls;
	};

	test("gathers and quantizes an input once for all weights with the same columns", () => {
		const calls = kernels((graph, x) => {
			graph.linear(x, { weight: weight(columns) });
			graph.linear(x, { weight: weight(columns) });
			graph.linear(x, { weight: weight(columns, "qd8_qb4w_f32") });
			graph.linear(x, { weight: weight(columns, "qd8_qb4w_f32") });
			graph.linear(x, { weight: weight(columns.slice()) });
			graph.linear(x, { weight: weight() });
		});
		expect(calls.map(({ kernel }) => kernel)).toEqual([
			"gather_columns_f32",
			"gemm_f32_qb4w_f32",
			"gemm_f32_qb4w_f32",
			"quantize_f32_qd8",
			"gemm_qd8_qb4w_f32",
			"gemm_qd8_qb4w_f32",
			"gather_columns_f32",
			"gemm_f32_qb4w_f32",
			"gemm_f32_qb4w_f32",
		]);
	});

	test("finds the columns where the weight comes to lie", () => {
		const stored = weight(columns);
		const [gather] = kernels((graph, x) => graph.linear(x, { weight: stored }));
		stored.address = 65536;
		expect(gather!.args.columns).toMatchObject({ address: 65536 + 4096 });
	});
});
