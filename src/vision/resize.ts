import type { Rgb } from "./image.ts";

/** Fixed-point weights have so many bits after the point, as Pillow's. */
const PRECISION_BITS = 22;
const HALF = 2 ** (PRECISION_BITS - 1);

/**
 * Bilinear with antialiasing, without keeping the shape: Pillow's `resize(…, BILINEAR)`, which processors were trained
 * with. Rows first, rounded to bytes, then columns. A side that stays as long is not touched.
 */
export function resize(image: Rgb, width: number, height: number): Rgb {
	const wide = resample(image.data, image.height, image.width, width, 3);
	const data = resample(wide, 1, image.height, height, 3 * width);
	return { width, height, data };
}

/** data[outer, length, lanes] → [outer, size, lanes]. */
function resample(
	data: Uint8Array,
	outer: number,
	length: number,
	size: number,
	lanes: number,
): Uint8Array {
	if (size === length) return data;
	const out = new Uint8Array(outer * size * lanes);
	const all = taps(length, size);
	for (let row = 0; row < outer; row++)
		for (let o = 0; o < size; o++) {
			const { first, weights } = all[o]!;
			const from = (row * length + first) * lanes;
			const to = (row * size + o) * lanes;
			for (let lane = 0; lane < lanes; lane++) {
				// Exact in float64: a byte times 22 bits, and weights add up to 1.
				let sum = HALF;
				for (let t = 0, at = from + lane; t < weights.length; t++, at += lanes)
					sum += data[at]! * weights[t]!;
				out[to + lane] = Math.min(255, sum / 2 ** PRECISION_BITS);
			}
		}
	return out;
}

/** Which pixels of the old axis make each one of the new axis, and how much: a triangle, as wide as the new pixel but no narrower than an old one. */
function taps(
	length: number,
	size: number,
): { first: number; weights: Int32Array }[] {
	const scale = length / size;
	const width = Math.max(scale, 1);
	return Array.from({ length: size }, (_, o) => {
		const center = (o + 0.5) * scale;
		const first = Math.max(0, Math.trunc(center - width + 0.5));
		const end = Math.min(length, Math.trunc(center + width + 0.5));
		const raw = Float64Array.from({ length: end - first }, (_, t) =>
			Math.max(0, 1 - Math.abs((t + first - center + 0.5) * (1 / width))),
		);
		const sum = raw.reduce((a, b) => a + b, 0);
		return {
			first,
			weights: Int32Array.from(raw, (w) =>
				Math.trunc((w / sum) * 2 ** PRECISION_BITS + 0.5),
			),
		};
	});
}
