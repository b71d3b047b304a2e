// Integer constants of ExecuTorch programs: masks, positions, and the codes of embeddings, whose scales are another
// constant. In checkpoints, integers mean what the scheme says that they belong to, so there they are not read as weights.

import { tensorPlane } from "./planes.ts";
import type { Scheme } from "./scheme.ts";

interface Integer {
	readonly bytes: number;
	readonly read: (view: DataView, at: number) => number;
}

/** Integer types by the names that containers use. Beyond 2^24 f32 cannot hold all of their values: they are rounded. */
const integers: ReadonlyMap<string, Integer> = new Map<string, Integer>([
	["BOOL", { bytes: 1, read: (view, at) => view.getUint8(at) }],
	["U8", { bytes: 1, read: (view, at) => view.getUint8(at) }],
	["I8", { bytes: 1, read: (view, at) => view.getInt8(at) }],
	["I16", { bytes: 2, read: (view, at) => view.getInt16(at, true) }],
	["I32", { bytes: 4, read: (view, at) => view.getInt32(at, true) }],
	["I64", { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
]);

export const integerConstants: Scheme = {
	name: "integers",
	formula: "w = q",
	async find({ container, tensors }, name) {
		const tensor = tensors.get(name);
		const integer = tensor && integers.get(tensor.type);
		if (container !== "pte" || !integer) return undefined;
		const { type, shape, bytes } = tensor;
		const rows = shape.length > 1 ? shape[0]! : 1;
		const cols = rows > 0 ? bytes / integer.bytes / rows : 0;
		const plane = tensorPlane("codes", tensor, Math.max(rows, 1));
		const layout = `${type.toLowerCase()}w`;
		return {
			scheme: type,
			name,
			shape,
			rows,
			cols,
			bitsPerWeight: 8 * integer.bytes,
			bytes,
			activation: "f32",
			block: 0,
			planes: [plane],
			precision: "F32",
			layout,
			pack: `pack_${layout}`,
			tensors: [tensor],
			async decode(lo, hi) {
				const stored = await plane.read(lo, hi);
				const { buffer, byteOffset, byteLength } = stored;
				const view = new DataView(buffer, byteOffset, byteLength);
				return Float32Array.from({ length: (hi - lo) * cols }, (_, i) =>
					integer.read(view, i * integer.bytes),
				);
			},
		};
	},
	owner: () => undefined,
};
