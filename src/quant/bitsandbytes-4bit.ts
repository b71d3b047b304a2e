// bitsandbytes' 4-bit matrices [N, K], whose weight is called P. Blocks run through the row-major matrix as a whole, so
// where K is no multiple of the block size they straddle rows.
//
//   P                    U8 [N·K/2, 1]        codes: the high nibble is the even element, the low one the odd
//                                             (or the same bytes viewed as another type)
//   P.absmax             F32 [B]              scale of each block, B = ⌈N·K / blocksize⌉
//                        U8  [B]              with double quantization: a code for it
//   P.quant_map          F32 [16]             what the codes stand for: NF4's quantiles, or FP4's floats
//   P.nested_absmax      F32 [⌈B / 256⌉]      double quantization only
//   P.nested_quant_map   F32 [256]
//   P.quant_state.bitsandbytes__nf4 | __fp4   U8, JSON: quant_type, blocksize, dtype, shape, nested_blocksize, nested_offset
//
//   a = absmax[b], or nested_quant_map[absmax[b]] · nested_absmax[b div 256] + nested_offset
//   w = T(quant_map[u] · a), T the dtype.       Bits per weight: 4.5, or 4.127 with double quantization
//
// Kernels leave the last rounding out: they multiply by quant_map[u] · a in f32 (assembly/kernels/lut4w.ts).
import { CheckpointError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { floatTensor, fourBitScales } from "./bitsandbytes-scales.ts";
import { readState } from "./bitsandbytes-state.ts";
import { roundTo } from "./floats.ts";
import type { Plane, StoredMatrix } from "./scheme.ts";

const STATE = ".quant_state.bitsandbytes__";
const TYPES = ["nf4", "fp4"];
const PARTS =
	/^(.+)\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__(?:nf4|fp4))$/;
/** Blocks of columns that kernels read: smaller ones have a layout of their own, which none reads. */
const BLOCK_MULTIPLE = 8;

/** The tensor that says that `name` is a 4-bit matrix. */
export function fourBitState(
	{ tensors }: Checkpoint,
	name: string,
): StoredTensor | undefined {
	for (const type of TYPES) {
		const state = tensors.get(`${name}${STATE}${type}`);
		if (state) return state;
	}
	const stray = tensors.get(`${name}.absmax`);
	if (stray === undefined) return undefined;
	throw new CheckpointError(
		`${stray.file}: ${stray.name} is there, ${name}${STATE}${TYPES.join(" or ")} not`,
	);
}

export function fourBitOwner(
	tensors: ReadonlyMap<string, StoredTensor>,
	tensor: string,
): string | undefined {
	const name = PARTS.exec(tensor)?.[1];
	return name && tensors.has(`${name}.absmax`) ? name : undefined;
}

export async function fourBitMatrix(
	{ tensors }: Checkpoint,
	name: string,
	stateTensor: StoredTensor,
): Promise<StoredMatrix> {
	const { file } = stateTensor;
	const state = await readState(stateTensor);
	const { rows, cols, blockSize, precision, type } = state;
	const part = (suffix: string): StoredTensor => {
		const tensor = tensors.get(name + suffix);
		if (tensor) return tensor;
		throw new CheckpointError(`${file}: ${name}${suffix} is missing`);
	};
	const codes = part("");
	if (codes.bytes !== Math.ceil((rows * cols) / 2)) {
		throw new CheckpointError(
			`${file}: ${name} has ${codes.bytes} bytes, expected ${Math.ceil((rows * cols) / 2)} for [${rows}, ${cols}] in 4 bits`,
		);
	}
	const tableTensor = part(".quant_map");
	const table = await floatTensor(tableTensor, 16);
	// columns that share a scale in every row, also where stored blocks straddle rows
	const block = greatestCommonDivisor(blockSize, cols);
	const scales = await fourBitScales(part, state, block);
	const bytes = codes.bytes + scales.bytes;
	const isRead = block % BLOCK_MULTIPLE === 0;
	const layout = `lut4w_${scales.kind}${isRead ? "" : `_${block}`}`;
	const double = state.nested ? " double" : "";
	const across = isRead ? "" : ` across rows of ${cols} columns`;
	const round = roundTo[precision];
	return {
		scheme: `bitsandbytes ${type} g${blockSize}${double}${across}`,
		name,
		shape: [rows, cols],
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: "f32",
		block,
		planes: [codePlane(codes, cols), scales.plane],
		precision,
		tables: Float32Array.of(...table, ...scales.tables),
		layout,
		pack: `pack_${layout}_bitsandbytes`,
		tensors: [codes, stateTensor, tableTensor, ...scales.tensors],
		async decode(lo, hi) {
			const [start, end] = [lo * cols, hi * cols];
			const nibbles = await nibblesOf(codes, start, end);
			const first = Math.floor(start / blockSize);
			const own = await scales.read(first, Math.ceil(end / blockSize));
			return Float32Array.from(nibbles, (nibble, i) => {
				const scale = own[Math.floor((start + i) / blockSize) - first]!;
				return round(Math.fround(table[nibble]! * scale));
			});
		},
	};
}

/** The codes by rows; rows of an odd number of columns begin on a byte of their own. */
function codePlane(codes: StoredTensor, cols: number): Plane {
	const rowBytes = Math.ceil(cols / 2);
	return {
		name: "codes",
		type: "U8",
		rowBytes,
		async read(lo, hi, into) {
			const length = (hi - lo) * rowBytes;
			if (cols % 2 === 0) return codes.read(lo * rowBytes, length, into);
			const out = into?.subarray(0, length).fill(0) ?? new Uint8Array(length);
			const nibbles = await nibblesOf(codes, lo * cols, hi * cols);
			for (const [i, nibble] of nibbles.entries()) {
				const col = i % cols;
				const at = Math.floor(i / cols) * rowBytes + (col >> 1);
				out[at]! |= col & 1 ? nibble : nibble << 4;
			}
			return out;
		},
	};
}

/** Codes of elements [start, end), one per byte. */
async function nibblesOf(
	codes: StoredTensor,
	start: number,
	end: number,
): Promise<Uint8Array> {
	const first = Math.floor(start / 2);
	const bytes = await codes.read(first, Math.ceil(end / 2) - first);
	const nibbles = new Uint8Array(end - start);
	for (let i = 0; i < nibbles.length; i++) {
		const byte = bytes[Math.floor((start + i) / 2) - first]!;
		nibbles[i] = (start + i) & 1 ? byte & 15 : byte >> 4;
	}
	return nibbles;
}

function greatestCommonDivisor(a: number, b: number): number {
	return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
