// Weights stored as the numbers they are. Bits per weight: F32 32, F16 and BF16 16, F8_E4M3 and F8_E5M2 8, F64 64.
// floats.ts has the bit diagrams. F64 has no layout of its own: it is rounded to f32 as it is read.
import type { StoredTensor } from "../formats/checkpoint.ts";
import { floats, widen } from "./floats.ts";
import { float8Plane, tensorPlane } from "./planes.ts";
import type { Scheme, StoredMatrix } from "./scheme.ts";

const LAYOUTS: Readonly<Record<string, string>> = {
	F64: "f32w",
	F32: "f32w",
	F16: "f16w",
	BF16: "bf16w",
	F8_E4M3: "f8e4m3w",
	F8_E5M2: "f8e5m2w",
};

export const plain: Scheme = {
	name: "plain",
	formula: "w = w",
	async find({ tensors }, name) {
		const tensor = tensors.get(name);
		return tensor && plainMatrix(tensor, name);
	},
	owner: () => undefined,
};

/** A tensor of floats as a matrix of its first dimension's rows, or as one row; undefined where it holds no floats. */
export function plainMatrix(
	tensor: StoredTensor,
	name: string,
): StoredMatrix | undefined {
	const { type, shape, bytes } = tensor;
	const layout = LAYOUTS[type];
	const format = floats[type];
	if (layout === undefined || format === undefined) return undefined;
	const elements = bytes / format.bytes;
	const rows = shape.length > 1 ? shape[0]! : 1;
	const cols = rows > 0 ? elements / rows : 0;
	const stored = tensorPlane("weights", tensor, Math.max(rows, 1));
	const decode: StoredMatrix["decode"] = async (lo, hi) =>
		widen(type, await stored.read(lo, hi));
	const rounded = {
		name: "weights",
		type: "F32",
		rowBytes: 4 * cols,
		async read(lo: number, hi: number, into?: Uint8Array) {
			const values = new Uint8Array((await decode(lo, hi)).buffer);
			into?.set(values);
			return into?.subarray(0, values.length) ?? values;
		},
	};
	const finite =
		format.bytes === 1
			? float8Plane("weights", tensor, Math.max(rows, 1))
			: stored;
	return {
		scheme: type,
		name,
		shape,
		rows,
		cols,
		bitsPerWeight: 8 * format.bytes,
		bytes,
		activation: "f32",
		block: 0,
		planes: [type === "F64" ? rounded : finite],
		precision: type === "F16" || type === "BF16" ? type : "F32",
		layout,
		...(format.bytes === 1 && {
			format: { bits: 8, zeros: false, scaleType: "F32" as const },
		}),
		pack: `pack_${layout}_${(type === "F64" ? "F32" : type).toLowerCase()}`,
		tensors: [tensor],
		decode,
	};
}
