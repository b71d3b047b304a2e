import { f16Bits } from "../test/quantizers-ggml.ts";

export const floatTypes = ["F32", "F16", "BF16"] as const;
export type FloatType = (typeof floatTypes)[number];

/** Values as floats of a type; those of BF16 are cut off, not rounded. */
export function floatBytes(type: FloatType, values: Float32Array): Uint8Array {
	const floats = values.slice();
	if (type === "F32") return new Uint8Array(floats.buffer);
	const bits =
		type === "F16"
			? Uint16Array.from(values, f16Bits)
			: Uint16Array.from(new Uint32Array(floats.buffer), (b) => b >>> 16);
	return new Uint8Array(bits.buffer);
}
