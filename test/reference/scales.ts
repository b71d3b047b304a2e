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

const types: readonly ScaleType[] = [
	{
		name: "F16",
		bytes: 2,
		read: (memory, address, i) => halfToFloat(memory.u16(address)[i]!),
		write: (memory, address, i, scale) => {
			memory.u16(address)[i] = floatToHalf(scale);
		},
		place: pairedPlace,
	},
	{
		name: "BF16",
		bytes: 2,
		read: (memory, address, i) => brainToFloat(memory.u16(address)[i]!),
		write: (memory, address, i, scale) => {
			memory.u16(address)[i] = floatToBrain(scale);
		},
		place: pairedPlace,
	},
	{
		name: "F32",
		bytes: 4,
		read: (memory, address, i) => memory.f32(address)[i]!,
		write: (memory, address, i, scale) => {
			memory.f32(address)[i] = scale;
		},
		place: (r) => r,
	},
];

/** The type of a format's scales. */
export const scaleTypeOf = ({ scale_type }: Pick<Format, "scale_type">) =>
	types.find(({ name }) => scaleTypes[name] === scale_type)!;

/** Formats that differ in the type of scales alone. */
export const f16: Format = { scale_type: scaleTypes.F16 };
export const bf16: Format = { scale_type: scaleTypes.BF16 };
export const f32: Format = { scale_type: scaleTypes.F32 };
