// What bitsandbytes writes about a 4-bit matrix, as JSON in a tensor of bytes.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import type { Precision } from "./floats.ts";

const PRECISIONS: ReadonlyMap<unknown, Precision> = new Map([
	["float32", "F32"],
	["float16", "F16"],
	["bfloat16", "BF16"],
]);
/** The JSON takes less than 300 bytes. */
const MAX_STATE_BYTES = 1 << 16;

export interface State {
	readonly type: string;
	readonly rows: number;
	readonly cols: number;
	/** Elements per scale, counted through the rows. */
	readonly blockSize: number;
	/** The type of the matrix that was quantized. */
	readonly precision: Precision;
	/** Of double quantization: scales per outer scale, and what is added to each. */
	readonly nested:
		| { readonly blockSize: number; readonly offset: number }
		| undefined;
}

export async function readState(tensor: StoredTensor): Promise<State> {
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
