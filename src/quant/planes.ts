// Row-major byte planes over stored tensors, and reading small ones whole.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { floats, widen } from "./floats.ts";
import type { Plane } from "./scheme.ts";

/** Largest piece of a tensor held while it is looked through. */
const PIECE_BYTES = 1 << 20;
/** Bits of a float that are all set where it is NaN or infinite: the exponent, in F8_E4M3 the mantissa too. */
const NOT_FINITE: Readonly<Record<string, number>> = {
	F8_E4M3: 0x7f,
	F8_E5M2: 0x7c,
	F16: 0x7c00,
	BF16: 0x7f80,
	F32: 0x7f800000,
};

/** The bytes of a tensor whose size is a multiple of `rows`, as they are. */
export function tensorPlane(
	name: string,
	tensor: StoredTensor,
	rows: number,
): Plane {
	const rowBytes = tensor.bytes / rows;
	return {
		name,
		type: tensor.type,
		rowBytes,
		read: (lo, hi, into) =>
			tensor.read(lo * rowBytes, (hi - lo) * rowBytes, into),
	};
}

/** A tensor of scales as a plane that lets no NaN and no infinity through. */
export function scalePlane(
	name: string,
	tensor: StoredTensor,
	rows: number,
): Plane {
	return finite(tensorPlane(name, tensor, rows), tensor, "scale");
}

/** The same of weights as 8-bit floats, whose kernels know finite values only. */
export function float8Plane(
	name: string,
	tensor: StoredTensor,
	rows: number,
): Plane {
	return finite(tensorPlane(name, tensor, rows), tensor, "weight");
}

function finite(plane: Plane, tensor: StoredTensor, what: string): Plane {
	const { bytes: size } = floats[tensor.type]!;
	return {
		...plane,
		async read(lo, hi, into) {
			const bytes = await plane.read(lo, hi, into);
			const at = notFinite(tensor.type, bytes, size, [0]);
			if (at >= 0) {
				const index = (lo * plane.rowBytes + at) / size;
				const value = widen(tensor.type, bytes.slice(at, at + size))[0];
				throw new CheckpointError(
					`${tensor.file}: element ${index} of ${tensor.name} is ${value}, expected a finite ${what}`,
				);
			}
			return bytes;
		},
	};
}

/** Byte offset of the first NaN or infinity among floats at `offsets` of every `stride` bytes; −1 where all are finite. */
export function notFinite(
	type: string,
	bytes: Uint8Array,
	stride: number,
	offsets: readonly number[],
): number {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const mask = NOT_FINITE[type]!;
	const { bytes: size } = floats[type]!;
	for (const offset of offsets) {
		for (let at = offset; at < bytes.length; at += stride) {
			const bits =
				size === 4
					? view.getUint32(at, true)
					: size === 2
						? view.getUint16(at, true)
						: view.getUint8(at);
			if ((bits & mask) === mask) return at;
		}
	}
	return -1;
}

/** Whether all bytes of a tensor are zero. */
export async function isZero(tensor: StoredTensor): Promise<boolean> {
	for (let at = 0; at < tensor.bytes; at += PIECE_BYTES) {
		const length = Math.min(PIECE_BYTES, tensor.bytes - at);
		const bytes = await tensor.read(at, length);
		for (const byte of bytes) if (byte !== 0) return false;
	}
	return true;
}

/** Throws CheckpointError unless the tensor is of one of the types and has one of the shapes. */
export function expectTensor(
	tensor: StoredTensor,
	types: readonly string[],
	...shapes: readonly (readonly number[])[]
): void {
	const shape = String(tensor.shape);
	if (
		!types.includes(tensor.type) ||
		!shapes.some((expected) => String(expected) === shape)
	) {
		const expected = shapes.map((s) => `[${s}]`).join(" or ");
		throw new CheckpointError(
			`${tensor.file}: ${tensor.name} is ${tensor.type} [${shape}], expected ${types.join(" or ")} ${expected}`,
		);
	}
}

/** Throws CheckpointError where a matrix of [rows, cols] has no weights. */
export function expectWeights(
	tensor: StoredTensor,
	rows: number,
	cols: number,
): void {
	if (rows > 0 && cols > 0) return;
	throw new CheckpointError(
		`${tensor.file}: ${tensor.name} belongs to a matrix [${rows}, ${cols}] without weights`,
	);
}

/** The formats in which scales are stored. */
export const SCALE_TYPES = ["BF16", "F16", "F32"];
