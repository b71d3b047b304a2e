// bitsandbytes' 4-bit quantizers, in f32 as its CPU code has them, to write checkpoints for tests. Bytes come out as the
// library's (quantized-tables.test.ts).
import { absmaxOf, type Quantized } from "./quantizers.ts";

const { abs, fround, max, min } = Math;

export const NF4 = Float32Array.of(
	-1,
	-0.6961928009986877,
	-0.5250730514526367,
	-0.39491748809814453,
	-0.28444138169288635,
	-0.18477343022823334,
	-0.09105003625154495,
	0,
	0.07958029955625534,
	0.16093020141124725,
	0.24611230194568634,
	0.33791524171829224,
	0.44070982933044434,
	0.5626170039176941,
	0.7229568362236023,
	1,
);

/** Floats of 4 bits, in twelfths: a sign and three bits. */
export const FP4 = Float32Array.from(
	[0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3],
	(twelfths) => twelfths / 12,
);

/** The numbers that scales are rounded to, sorted: 0, 1, and ±10^(i − 6) times the middles of 2^i cells of 0.1 … 1, i from 0 to 6. */
export const DYNAMIC = dynamicMap();

function dynamicMap(): Float32Array {
	const values = [0, 1];
	for (let i = 0; i <= 6; i++) {
		const cells = 2 ** i;
		const step = fround(fround(1 - fround(0.1)) / cells);
		// From the nearer end, as torch divides a range.
		const edge = (c: number) =>
			2 * c <= cells
				? fround(fround(0.1) + fround(step * c))
				: fround(1 - fround(step * (cells - c)));
		for (let c = 0; c < cells; c++) {
			const middle = fround(edge(c) + edge(c + 1)) / 2;
			const value = fround(fround(10 ** (i - 6)) * middle);
			values.push(value, -value);
		}
	}
	return Float32Array.from(values).sort();
}

/** Place of the table's value next to v, the smaller one of two. */
function nearest(table: Float32Array): (v: number) => number {
	const places = [...table.keys()].sort((a, b) => table[a]! - table[b]!);
	const middles = places
		.slice(1)
		.map((place, i) => fround(table[place]! + table[places[i]!]!) / 2);
	return (v) => {
		const cell = middles.findIndex((middle) => v <= middle);
		return places.at(cell)!;
	};
}

/** The nearest of a table's 16 values, times each block's largest magnitude. Blocks run through the rows; the last may be short. */
export function fourBit(
	w: Float32Array,
	table: Float32Array,
	block: number,
): Quantized {
	const place = nearest(table);
	const codes = new Int8Array(w.length);
	const scales = new Float32Array(Math.ceil(w.length / block));
	for (const g of scales.keys()) {
		const end = min((g + 1) * block, w.length);
		scales[g] = absmaxOf(w, g * block, end - g * block);
		const inverse = fround(1 / max(scales[g]!, fround(1e-38)));
		for (let i = g * block; i < end; i++)
			codes[i] = place(max(-1, min(1, fround(w[i]! * inverse))));
	}
	return { codes, scales, block };
}

/** Scales that are quantized themselves: byte b is DYNAMIC[b] · outer + offset, with an outer scale per 256. */
export function nestedScales(scales: Float32Array) {
	const place = nearest(DYNAMIC);
	const offset = fround(scales.reduce((sum, s) => sum + s, 0) / scales.length);
	const bytes = new Uint8Array(scales.length);
	const outer = new Float32Array(Math.ceil(scales.length / 256));
	const rest = scales.map((s) => s - offset);
	for (const [i, value] of rest.entries()) {
		const b = i >> 8;
		if (i % 256 === 0)
			outer[b] = rest
				.subarray(i, i + 256)
				.reduce((most, r) => max(most, abs(r)), 0);
		bytes[i] = place(fround(value / outer[b]!));
	}
	const values = Float32Array.from(
		bytes,
		(byte, i) => fround(DYNAMIC[byte]! * outer[i >> 8]!) + offset,
	);
	return { bytes, outer, offset, values };
}
