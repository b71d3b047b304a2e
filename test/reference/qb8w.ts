import { type Entry, exact, type View } from "./entry.ts";
import { floatToHalf, halfToFloat } from "./half.ts";
import {
	type PlainLayout,
	padded,
	pairedPlace,
	quantizedEmbed,
	quantizedGemm,
	WHOLE,
} from "./matrix.ts";
import { type Operands, viewOf } from "./operands.ts";
import { qb8 } from "./quantize.ts";

const BLOCK_BYTES = 544;

/** Addresses of the scale and the code of weight (j, c). */
function place(w: number, j: number, c: number, k: number) {
	const tile = w + Math.floor(j / 16) * (k / 32) * BLOCK_BYTES;
	const block = tile + Math.floor(c / 32) * BLOCK_BYTES;
	const r = j % 16;
	const four = Math.floor((c % 32) / 4);
	return {
		scale: block + 2 * pairedPlace(r),
		code:
			block + 32 + 256 * Math.floor(r / 8) + 32 * four + 4 * (r % 8) + (c % 4),
	};
}

/** Q8_0: blocks of an f16 scale and 32 int8. */
function stored(o: Operands, n: number, k: number): Uint8Array {
	const bytes = new Uint8Array((n * k * 34) / 32);
	const view = new DataView(bytes.buffer);
	for (let at = 0; at < bytes.length; at += 34) {
		view.setUint16(at, floatToHalf(o.gaussian(0.002)), true);
		for (let i = 0; i < 32; i++) view.setInt8(at + 2 + i, o.integer(-128, 127));
	}
	return bytes;
}

function pack(
	memory: View,
	dst: number,
	src: number,
	k: number,
	[lo, hi]: readonly [number, number],
) {
	memory.u8(dst).fill(0, (lo * k * 34) / 32, (padded(hi) * k * 34) / 32);
	for (let j = lo; j < hi; j++)
		for (let c = 0; c < k; c++) {
			const block = src + (((j - lo) * k) / 32 + Math.floor(c / 32)) * 34;
			const { scale, code } = place(dst, j, c, k);
			memory.u8(scale).set(memory.u8(block).subarray(0, 2));
			memory.u8(code)[0] = memory.i8(block + 2)[c % 32]! + 128;
		}
}

const qb8w: PlainLayout = {
	weight(memory, w, j, c, k) {
		const { scale, code } = place(w, j, c, k);
		return halfToFloat(memory.u16(scale)[0]!) * (memory.u8(code)[0]! - 128);
	},
	random(o, n, k) {
		const source = stored(o, n, k);
		const bytes = new Uint8Array(source.length + (padded(n) * k * 34) / 32);
		bytes.set(source);
		pack(viewOf(bytes.buffer), source.length, 0, k, [0, n]);
		return bytes.slice(source.length);
	},
};

export const gemm_qb8_qb8w = quantizedGemm(qb8, qb8w, [
	[32, 0],
	[160, 0],
	[1120, 0],
]);
export const embed_qb8w = quantizedEmbed(qb8w, 96);
export const pack_qb8w_q8_0: Entry<"pack_qb8w_q8_0"> = {
	run({ dst, src, k }, lo, hi, memory) {
		pack(memory, dst, src, k, [lo, hi]);
	},
	units: ({ n }) => n,
	grain: WHOLE,
	tolerance: exact,
	cases: {
		"odd n": (o) => operands(o, 37, 64),
		"whole tiles": (o) => operands(o, 32, 96),
	},
};

function operands(o: Operands, n: number, k: number) {
	return {
		dst: o.output("bytes", (padded(n) * k * 34) / 32),
		src: o.put(stored(o, n, k)),
		n,
		k,
	};
}
