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
import { CheckpointError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { type Precision, roundTo, widen } from "./floats.ts";
import { expectTensor, notFinite } from "./planes.ts";
import type { Plane, StoredMatrix } from "./scheme.ts";

const STATE = ".quant_state.bitsandbytes__";
const TYPES = ["nf4", "fp4"];
const PARTS =
	/^(.+)\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__(?:nf4|fp4))$/;
const PRECISIONS: ReadonlyMap<unknown, Precision> = new Map([
	["float32", "F32"],
	["float16", "F16"],
	["bfloat16", "BF16"],
]);
/** The JSON takes less than 300 bytes. */
const MAX_STATE_BYTES = 1 << 16;

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

interface State {
	readonly type: string;
	readonly rows: number;
	readonly cols: number;
	readonly blockSize: number;
	readonly precision: Precision;
	readonly nested:
		| { readonly blockSize: number; readonly offset: number }
		| undefined;
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
	const scales = await scaleReader(part, state);
	/** Scales of the stored blocks that elements [start, end) touch, as a function of the element. */
	const scalesOf = async (start: number, end: number) => {
		const first = Math.floor(start / blockSize);
		const own = await scales.read(first, Math.ceil(end / blockSize));
		return (element: number) => own[Math.floor(element / blockSize) - first]!;
	};
	// columns that share a scale in every row, also where stored blocks straddle rows
	const block = greatestCommonDivisor(blockSize, cols);
	const scalePlane: Plane = {
		name: "scales",
		type: "F32",
		rowBytes: (4 * cols) / block,
		async read(lo, hi, into) {
			const scaleOf = await scalesOf(lo * cols, hi * cols);
			const values = new Float32Array(((hi - lo) * cols) / block);
			for (let i = 0; i < values.length; i++) {
				values[i] = scaleOf(lo * cols + i * block);
			}
			const bytes = new Uint8Array(values.buffer);
			into?.set(bytes);
			return into?.subarray(0, bytes.length) ?? bytes;
		},
	};
	const round = roundTo[precision];
	const bytes = codes.bytes + scales.bytes;
	return {
		scheme: `bitsandbytes ${type} g${blockSize}${state.nested ? " double" : ""}`,
		name,
		shape: [rows, cols],
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: "f32",
		block,
		planes: [codePlane(codes, cols), scalePlane],
		precision,
		table,
		layout: "lut4w",
		pack: "pack_lut4w_bitsandbytes",
		tensors: [codes, stateTensor, tableTensor, ...scales.tensors],
		async decode(lo, hi) {
			const [start, end] = [lo * cols, hi * cols];
			const nibbles = await nibblesOf(codes, start, end);
			const scaleOf = await scalesOf(start, end);
			const out = new Float32Array(nibbles.length);
			for (let i = 0; i < out.length; i++) {
				out[i] = round(Math.fround(table[nibbles[i]!]! * scaleOf(start + i)));
			}
			return out;
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

/** Scales by stored block, and the tensors that hold them. */
async function scaleReader(
	part: (suffix: string) => StoredTensor,
	{ rows, cols, blockSize, nested }: State,
) {
	const blocks = Math.ceil((rows * cols) / blockSize);
	const absmax = part(".absmax");
	if (nested === undefined) {
		expectTensor(absmax, ["F32"], [blocks]);
		return {
			bytes: absmax.bytes,
			tensors: [absmax],
			read: (lo: number, hi: number) => floatsOf(absmax, lo, hi),
		};
	}
	expectTensor(absmax, ["U8"], [blocks]);
	const mapTensor = part(".nested_quant_map");
	const outerTensor = part(".nested_absmax");
	const map = await floatTensor(mapTensor, 256);
	const outer = await floatTensor(
		outerTensor,
		Math.ceil(blocks / nested.blockSize),
	);
	return {
		bytes: absmax.bytes + outerTensor.bytes,
		tensors: [absmax, mapTensor, outerTensor],
		async read(lo: number, hi: number) {
			const codes = await absmax.read(lo, hi - lo);
			const values = new Float32Array(hi - lo);
			for (let i = 0; i < values.length; i++) {
				const scale = outer[Math.floor((lo + i) / nested.blockSize)]!;
				values[i] = Math.fround(map[codes[i]!]! * scale) + nested.offset;
			}
			return values;
		},
	};
}

async function readState(tensor: StoredTensor): Promise<State> {
	const where = `${tensor.file}: ${tensor.name}`;
	if (tensor.type !== "U8" || tensor.bytes > MAX_STATE_BYTES) {
		throw new CheckpointError(
			`${where} is ${tensor.type} of ${tensor.bytes} bytes, expected JSON in U8`,
		);
	}
	let json: Readonly<Record<string, unknown>>;
	try {
		json = Object(JSON.parse(new TextDecoder().decode(await tensor.read())));
	} catch (cause) {
		throw new CheckpointError(`${where} is not valid JSON`, { cause });
	}
	const count = (key: string, least: number, most: number): number => {
		const value = json[key];
		if (
			Number.isInteger(value) &&
			Number(value) >= least &&
			Number(value) <= most
		) {
			return Number(value);
		}
		throw new CheckpointError(
			`${where}: ${key} is ${JSON.stringify(value)}, expected ${least} to ${most}`,
		);
	};
	const precision = PRECISIONS.get(json.dtype);
	if (precision === undefined) {
		throw new CheckpointError(
			`${where}: dtype is ${JSON.stringify(json.dtype)}`,
		);
	}
	const { shape } = json;
	const sizes = Array.isArray(shape) && shape.length === 2 ? shape : [];
	if (
		sizes.length === 0 ||
		!sizes.every((n) => Number.isSafeInteger(n) && n > 0)
	) {
		throw new CheckpointError(
			`${where}: shape is ${JSON.stringify(shape)}, expected [rows, columns]`,
		);
	}
	const offset = json.nested_offset;
	if (offset !== undefined && !Number.isFinite(offset)) {
		throw new CheckpointError(
			`${where}: nested_offset is ${JSON.stringify(offset)}, expected a number`,
		);
	}
	return {
		type: String(json.quant_type),
		rows: sizes[0],
		cols: sizes[1],
		blockSize: count("blocksize", 32, 4096),
		precision,
		nested:
			offset === undefined
				? undefined
				: {
						blockSize: count("nested_blocksize", 1, 1 << 20),
						offset: Math.fround(Number(offset)),
					},
	};
}

/** A whole F32 tensor of so many finite values. */
async function floatTensor(
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

function greatestCommonDivisor(a: number, b: number): number {
	return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
