import { activations } from "../../src/engine/layouts.ts";
import type { Entry, View } from "./entry.ts";
import { range } from "./ggml.ts";
import {
	type Form,
	type QuantizedRow,
	quantizing,
	roundHalfEven,
} from "./quantize.ts";

const BLOCK = 256;
const f32 = Math.fround;

const sumOf = (codes: Iterable<number>) => {
	let total = 0;
	for (const code of codes) total += code;
	return total;
};

/** int8 per 256 columns. */
export const qk8: Form = {
	rowBytes: activations.qk8.rowBytes,
	hasZero: false,
	read: (memory: View, address, k) => {
		const values = new Float64Array(k);
		for (let c = 0; c < k; c++) {
			const block = address + 340 * Math.floor(c / BLOCK);
			const code = block + 20 + 40 * ((c % BLOCK) >> 5) + 8 + (c % 32);
			values[c] = memory.f32(block)[0]! * memory.i8(code)[0]!;
		}
		return values;
	},
	write: (memory, address, { codes, scale }) => {
		for (let c = 0, at = address; c < codes.length; c += BLOCK, at += 340) {
			memory.f32(at)[0] = scale(c);
			for (const g of range(8)) {
				const group = codes.slice(c + 32 * g, c + 32 * g + 32);
				const to = at + 20 + 40 * g;
				memory.u16(at + 4 + 2 * g)[0] = sumOf(group);
				for (const part of [0, 1])
					for (const parity of [0, 1])
						memory.u16(to + 4 * part + 2 * parity)[0] = sumOf(
							group.filter(
								(_, i) => i >> 4 === part && (i & 2) >> 1 === parity,
							),
						);
				memory.i8(to + 8).set(group);
			}
		}
	},
};

/** d = −m / 127 of each block, m its first element of largest magnitude. */
function blocks(x: Float32Array): QuantizedRow {
	const inverses = range(x.length / BLOCK).map((b) => {
		let extreme = 0;
		for (const v of x.subarray(b * BLOCK, (b + 1) * BLOCK))
			if (Math.abs(v) > Math.abs(extreme)) extreme = v;
		const inverse = extreme === 0 ? 0 : f32(-127 / extreme);
		return Number.isFinite(inverse) ? inverse : 0;
	});
	return {
		codes: [...x].map((v, c) =>
			Math.min(roundHalfEven(f32(v * inverses[Math.floor(c / BLOCK)]!)), 127),
		),
		zero: 0,
		scale: (c) => {
			const inverse = inverses[Math.floor(c / BLOCK)]!;
			return inverse === 0 ? 0 : f32(1 / inverse);
		},
	};
}

export const quantize_f32_qk8: Entry<"quantize_f32_qk8"> = quantizing(
	qk8,
	blocks,
	[256, 768],
);
