// Round-to-nearest quantizers in the numerics of torchao and compressed-tensors, to write checkpoints for tests. Their codes and scales are compared with hashes of what those libraries' formulas gave in PyTorch.

/** Codes and scales of a matrix [rows, cols]: one scale per `block` consecutive columns. */
export interface Quantized {
	readonly codes: Int8Array;
	readonly scales: Float32Array;
	readonly block: number;
}

const { fround, abs, max, min } = Math;
const SMALLEST_NORMAL = 2 ** -126;

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** To bf16, ties to even, as an f32. */
export function bf16(value: number): number {
	single[0] = value;
	word[0] = (word[0]! + 0x7fff + ((word[0]! >>> 16) & 1)) & 0xffff0000;
	return single[0]!;
}

export function roundHalfEven(value: number): number {
	const floor = Math.floor(value);
	const rest = value - floor;
	if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
	return floor % 2 === 0 ? floor : floor + 1;
}

const range = (bits: number) =>
	[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] as const;
const clamp = (value: number, low: number, high: number) =>
	max(low, min(high, value));

export function absmaxOf(
	w: Float32Array,
	start: number,
	block: number,
): number {
	let most = 0;
	for (let i = start; i < start + block; i++) most = max(most, abs(w[i]!));
	return most;
}

/** torchao's symmetric mapping: scale = absmax / 7.5 (int4), and the reciprocal rounded like the scale. */
export function torchaoSymmetric(
	w: Float32Array,
	bits: number,
	block: number,
	bf16Scale: boolean,
): Quantized {
	const [low, high] = range(bits);
	const round = bf16Scale ? bf16 : fround;
	const codes = new Int8Array(w.length);
	const scales = new Float32Array(w.length / block);
	for (const g of scales.keys()) {
		const exact = fround(absmaxOf(w, g * block, block) / ((high - low) / 2));
		const scale = round(max(exact, SMALLEST_NORMAL));
		const inverse = round(fround(1 / scale));
		scales[g] = scale;
		for (let i = g * block; i < (g + 1) * block; i++) {
			codes[i] = clamp(roundHalfEven(fround(w[i]! * inverse)), low, high);
		}
	}
	return { codes, scales, block };
}

/** torchao's hqq_scale_only: rounding and least-squares scales in turn, stopped when no scale of the matrix moves. */
export function torchaoHqq(
	w: Float32Array,
	bits: number,
	block: number,
): Quantized {
	const [low, high] = range(bits);
	const epsilon = 2 ** -23;
	const codes = new Int8Array(w.length);
	const scales = new Float32Array(w.length / block);
	for (const g of scales.keys()) {
		scales[g] = max(fround(absmaxOf(w, g * block, block) / -low), epsilon);
	}
	const assign = () => {
		for (let i = 0; i < codes.length; i++) {
			const q = roundHalfEven(fround(w[i]! / scales[Math.floor(i / block)]!));
			codes[i] = clamp(q, low, high);
		}
	};
	for (let pass = 0, moved = 1; pass < 20 && moved >= 1e-5; pass++) {
		assign();
		moved = 0;
		for (const [g, before] of scales.entries()) {
			let num = 0;
			let den = 0;
			for (let i = g * block; i < (g + 1) * block; i++) {
				num += w[i]! * codes[i]!;
				den += codes[i]! * codes[i]!;
			}
			const scale = den > 0 ? fround(fround(num) / den) : before;
			scales[g] = abs(max(scale, epsilon));
			moved = max(moved, abs(scales[g] - before) / max(before, epsilon));
		}
	}
	assign();
	return { codes, scales, block };
}

/** compressed-tensors' min-max observer on bf16 weights, symmetric: everything is rounded to bf16. */
export function compressedTensorsSymmetric(
	w: Float32Array,
	bits: number,
	block: number,
): Quantized {
	const [low, high] = range(bits);
	const codes = new Int8Array(w.length);
	const scales = new Float32Array(w.length / block);
	for (const g of scales.keys()) {
		const scale = bf16(
			fround(absmaxOf(w, g * block, block) / ((high - low) / 2)),
		);
		scales[g] = scale === 0 ? 2 ** -7 : scale;
		for (let i = g * block; i < (g + 1) * block; i++) {
			codes[i] = clamp(roundHalfEven(bf16(fround(w[i]! / scale))), low, high);
		}
	}
	return { codes, scales, block };
}

/** Integers with zero points: i8[rows, cols / block] beside the scales. */
export interface Asymmetric extends Quantized {
	readonly zeros: Int8Array;
}

/** compressed-tensors' min-max observer, asymmetric, in f32: the range of a block, 0 included, over all codes. */
export function compressedTensorsAsymmetric(
	w: Float32Array,
	bits: number,
	block: number,
): Asymmetric {
	const [low, high] = range(bits);
	const codes = new Int8Array(w.length);
	const scales = new Float32Array(w.length / block);
	const zeros = new Int8Array(scales.length);
	for (const g of scales.keys()) {
		const end = (g + 1) * block;
		let least = 0;
		let most = 0;
		for (let i = g * block; i < end; i++) {
			least = min(least, w[i]!);
			most = max(most, w[i]!);
		}
		const scale = fround((most - least) / (high - low));
		scales[g] = scale === 0 ? 2 ** -23 : scale;
		zeros[g] = roundHalfEven(clamp(low - least / scales[g]!, low, high));
		for (let i = g * block; i < end; i++) {
			const q = fround(w[i]! / scales[g]!) + zeros[g]!;
			codes[i] = roundHalfEven(clamp(q, low, high));
		}
	}
	return { codes, scales, zeros, block };
}
