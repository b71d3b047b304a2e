// Scales of the types that files have, as files and tiles of 16 rows hold them.
import { type Format, scaleTypes } from "../../src/engine/layouts.ts";
import type { View } from "./entry.ts";
import {
	brainToFloat,
	floatToBrain,
	floatToHalf,
	halfToFloat,
} from "./half.ts";
import { pairedPlace } from "./matrix.ts";
import type { Operands } from "./operands.ts";

/** A type of scales. */
export interface ScaleType {
	readonly name: keyof typeof scaleTypes;
	readonly bytes: number;
	/** Scale i of those at an address. */
	readonly read: (memory: View, address: number, i: number) => number;
	readonly write: (
		memory: View,
		address: number,
		i: number,
		scale: number,
	) => void;
	/** Which of 16 places row r of a tile has. */
	readonly place: (r: number) => number;
}

/** Scales in tiles may lie anywhere. */
function viewAt(memory: View, address: number): DataView {
	const { buffer, byteOffset } = memory.u8(address);
	return new DataView(buffer, byteOffset);
}

const float: Pick<ScaleType, "bytes" | "read" | "write"> = {
	bytes: 4,
	read: (memory, address, i) => viewAt(memory, address).getFloat32(4 * i, true),
	write: (memory, address, i, scale) =>
		viewAt(memory, address).setFloat32(4 * i, scale, true),
};

const half = (
	widen: (bits: number) => number,
	narrow: (value: number) => number,
): Pick<ScaleType, "bytes" | "read" | "write" | "place"> => ({
	bytes: 2,
	read: (memory, address, i) =>
		widen(viewAt(memory, address).getUint16(2 * i, true)),
	write: (memory, address, i, scale) =>
		viewAt(memory, address).setUint16(2 * i, narrow(scale), true),
	place: pairedPlace,
});

const types: readonly ScaleType[] = [
	{ name: "F16", ...half(halfToFloat, floatToHalf) },
	{ name: "BF16", ...half(brainToFloat, floatToBrain) },
	{ name: "F32", ...float, place: (r) => r },
	{ name: "SHARED", ...float, place: () => 0 },
];

/** `count` scales, the same for each 16 rows of `perRow` where the type says so. */
export function randomScales(
	o: Operands,
	count: number,
	perRow: number,
	deviation: number,
	{ scale_type }: Pick<Format, "scale_type">,
): Float32Array {
	const scales = o.gaussians(count, deviation);
	if (scale_type !== scaleTypes.SHARED) return scales;
	const tile = 16 * perRow;
	return scales.map((_, i) => scales[i - (i % tile) + (i % perRow)]!);
}

const byNumber: ReadonlyMap<number, ScaleType> = new Map(
	types.map((type) => [scaleTypes[type.name], type]),
);

/** The type of a format's scales. */
export const scaleTypeOf = ({ scale_type }: Pick<Format, "scale_type">) =>
	byNumber.get(scale_type)!;

/** A format of such scales. */
export const withScales = (
	name: keyof typeof scaleTypes,
	bits = 0,
	has_zeros = 0,
): Format => ({ bits, has_zeros, scale_type: scaleTypes[name] });

/** Bytes of 16 rows' scales in a tile. */
export const scalesBytes = (format: Pick<Format, "scale_type">) =>
	format.scale_type === scaleTypes.SHARED ? 16 : 16 * scaleTypeOf(format).bytes;
