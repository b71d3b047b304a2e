// The scales of bitsandbytes' 4-bit matrices: by stored block, which may reach over the end of a row, and as kernels take
// them, by row and block of `block` columns, of which a stored block holds one or more.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import type { State } from "./bitsandbytes-state.ts";
import { widen } from "./floats.ts";
import { expectTensor, notFinite } from "./planes.ts";
import type { Plane } from "./scheme.ts";

export interface Scales {
	/** Stored bytes that carry information. */
	readonly bytes: number;
	readonly tensors: readonly StoredTensor[];
	/** Scales of stored blocks [lo, hi). */
	read(lo: number, hi: number): Promise<Float32Array>;
	/** How kernels take them: "f32", or "u8" where they are bytes that are looked up in the tables. */
	readonly kind: "f32" | "u8";
	readonly plane: Plane;
	/** What kernels need besides the plane: assembly/kernels/lut4w.ts has the order. */
	readonly tables: readonly number[];
}

/** Scales of a matrix whose tensors `part` finds by their suffixes. */
export async function fourBitScales(
	part: (suffix: string) => StoredTensor,
	state: State,
	block: number,
): Promise<Scales> {
	const { rows, cols, blockSize, nested } = state;
	const blocks = Math.ceil((rows * cols) / blockSize);
	const absmax = part(".absmax");
	if (nested === undefined) {
		expectTensor(absmax, ["F32"], [blocks]);
		const read = (lo: number, hi: number) => floatsOf(absmax, lo, hi);
		return {
			bytes: absmax.bytes,
			tensors: [absmax],
			read,
			kind: "f32",
			plane: scalesPlane("F32", read, state, block),
			tables: [],
		};
	}
	expectTensor(absmax, ["U8"], [blocks]);
	const { blockSize: perOuter, offset } = nested;
	const mapTensor = part(".nested_quant_map");
	const outerTensor = part(".nested_absmax");
	const map = await floatTensor(mapTensor, 256);
	const outer = await floatTensor(outerTensor, Math.ceil(blocks / perOuter));
	const largest = Math.fround(most(map) * most(outer) + Math.abs(offset));
	if (largest === Infinity) {
		throw new CheckpointError(
			`${absmax.file}: scales of ${absmax.name} may be infinite: ${most(map)} · ${most(outer)} + ${offset}`,
		);
	}
	const readBytes = (lo: number, hi: number) => absmax.read(lo, hi - lo);
	const read = async (lo: number, hi: number) => {
		const bytes = await readBytes(lo, hi);
		return Float32Array.from(bytes, (byte, i) => {
			const scale = outer[Math.floor((lo + i) / perOuter)]!;
			return Math.fround(map[byte]! * scale) + offset;
		});
	};
	const blocksPerOuter = (perOuter * blockSize) / block;
	// Kernels divide by a shift. bitsandbytes has no other sizes than powers of two.
	const divides = Number.isInteger(Math.log2(blocksPerOuter));
	return {
		bytes: absmax.bytes + outerTensor.bytes,
		tensors: [absmax, mapTensor, outerTensor],
		read,
		kind: divides ? "u8" : "f32",
		plane: divides
			? scalesPlane("U8", readBytes, state, block)
			: scalesPlane("F32", read, state, block),
		tables: divides ? [...map, offset, blocksPerOuter, 0, 0, ...outer] : [],
	};
}

/** The largest magnitude. */
const most = (values: Float32Array): number =>
	values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);

/** What `read` gives by stored block, by row and block of columns. */
function scalesPlane(
	type: "F32" | "U8",
	read: (lo: number, hi: number) => Promise<Float32Array | Uint8Array>,
	{ cols, blockSize }: State,
	block: number,
): Plane {
	const perRow = cols / block;
	return {
		name: "scales",
		type,
		rowBytes: (type === "F32" ? 4 : 1) * perRow,
		async read(lo, hi, into) {
			const first = Math.floor((lo * cols) / blockSize);
			const stored = await read(first, Math.ceil((hi * cols) / blockSize));
			const count = (hi - lo) * perRow;
			const values =
				type === "F32" ? new Float32Array(count) : new Uint8Array(count);
			for (let i = 0; i < count; i++) {
				const element = lo * cols + i * block;
				values[i] = stored[Math.floor(element / blockSize) - first]!;
			}
			const bytes = new Uint8Array(values.buffer);
			into?.set(bytes);
			return into?.subarray(0, bytes.length) ?? bytes;
		},
	};
}

/** A whole F32 tensor of so many finite values. */
export async function floatTensor(
	tensor: StoredTensor,
	length: number,
): Promise<Float32Array> {
	expectTensor(tensor, ["F32"], [length]);
	return floatsOf(tensor, 0, length);
}

/** Elements [lo, hi) of an F32 tensor. */
async function floatsOf(
	tensor: StoredTensor,
	lo: number,
	hi: number,
): Promise<Float32Array> {
	const bytes = await tensor.read(4 * lo, 4 * (hi - lo));
	const values = widen("F32", bytes);
	const bad = notFinite("F32", bytes, 4, [0]);
	if (bad < 0) return values;
	throw new CheckpointError(
		`${tensor.file}: element ${lo + bad / 4} of ${tensor.name} is ${values[bad / 4]}, expected a finite number`,
	);
}
