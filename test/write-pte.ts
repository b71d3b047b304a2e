import {
	type Field,
	type Fields,
	i32s,
	writeFlatbuffer,
} from "./write-flatbuffer.ts";
import {
	spaced,
	type WriteXnnpackValue,
	writeXnnpack,
} from "./write-xnnpack.ts";

/** A tensor of a method. */
export interface WriteTensor {
	readonly name?: string;
	/** ExecuTorch's number of the element type. */
	readonly scalarType: number;
	readonly shape: readonly number[];
	readonly dimOrder?: readonly number[];
	/** Of a constant. */
	readonly data?: Uint8Array;
}

export type WriteConstant = WriteTensor & { readonly data: Uint8Array };

export type WriteValue =
	| WriteTensor
	| { readonly int: number }
	| { readonly bool: boolean }
	| { readonly double: number }
	| { readonly list: readonly number[] }
	| null;

/** A call of an operator or of a delegate, or else a jump. `args` are places of values. */
export interface WriteCall {
	readonly operator?: string;
	readonly delegate?: number;
	readonly args: readonly number[];
}

export interface WriteProgram {
	readonly values: readonly WriteValue[];
	readonly inputs?: readonly number[];
	readonly outputs?: readonly number[];
	readonly calls?: readonly WriteCall[];
	readonly delegates?: readonly {
		readonly id: string;
		readonly blob: Uint8Array;
	}[];
	readonly namedData?: Readonly<Record<string, Uint8Array>>;
}

const HEADER_BYTES = 32;
const [NULL, INT, BOOL, DOUBLE, TENSOR, LIST] = [1, 2, 3, 4, 5, 10];
const [OPERATOR_CALL, DELEGATE_CALL, JUMP] = [1, 2, 4];

/** An ExecuTorch program with one method, "forward". Slots are those of the published schema. */
export function writeProgram(program: WriteProgram): Uint8Array {
	const { values, inputs = [], outputs = [], calls = [] } = program;
	const { delegates = [], namedData = {} } = program;
	const constants = values.filter(isConstant);
	const { bytes: segment, starts } = spaced(constants.map((c) => c.data));
	const pieces = spaced([
		segment,
		...delegates.map(({ blob }) => blob),
		...Object.values(namedData),
	]);
	const sizes = [
		segment.length,
		...delegates.map(({ blob }) => blob.length),
		...Object.values(namedData).map(({ length }) => length),
	];
	const operators = [
		...new Set(calls.flatMap(({ operator }) => operator ?? [])),
	];
	const method: Fields = {
		0: { text: "forward" },
		2: {
			tables: values.map((value) =>
				writeValue(value, constants.indexOf(value as WriteConstant) + 1),
			),
		},
		3: i32s(inputs),
		4: i32s(outputs),
		5: {
			tables: [{ 2: { tables: calls.map((c) => writeCall(c, operators)) } }],
		},
		6: {
			tables: operators.map((operator) => {
				const [name = "", overload] = operator.split(".");
				return {
					0: { text: name },
					...(overload && { 1: { text: overload } }),
				};
			}),
		},
		7: {
			tables: delegates.map(({ id }, i) => ({
				0: { text: id },
				1: { table: { 0: { u8: 1 }, 1: { u32: 1 + i } } },
			})),
		},
	};
	const description = writeFlatbuffer(
		{
			1: { tables: [method] },
			4: {
				tables: pieces.starts.map((start, i) => ({
					0: { u64: start },
					1: { u64: sizes[i]! },
				})),
			},
			// The first offset stands for "not constant".
			5: { table: { 0: { u32: 0 }, 1: u64s([0, ...starts]) } },
			7: {
				tables: Object.keys(namedData).map((key, i) => ({
					0: { text: key },
					1: { u32: 1 + delegates.length + i },
				})),
			},
		},
		4 + HEADER_BYTES,
	);
	const view = new DataView(description.buffer);
	description.set(new TextEncoder().encode("ET12eh00"), 4);
	view.setUint32(12, HEADER_BYTES, true);
	view.setBigUint64(16, BigInt(description.length), true);
	view.setBigUint64(24, BigInt(description.length), true);
	view.setBigUint64(32, BigInt(pieces.bytes.length), true);
	return new Uint8Array(Buffer.concat([description, pieces.bytes]));
}

/** A program of constants, and of weights in a delegate, each in a linear layer without inputs. It computes nothing. */
export function writePte(
	constants: readonly WriteConstant[],
	weights: readonly WriteXnnpackValue[] = [],
	id = "XnnpackBackend",
): Uint8Array {
	const nodes = weights.map((_, i) => ({ type: 2, fields: { 1: i } }));
	const blob = writeXnnpack({ values: weights, nodes });
	return writeProgram({ values: constants, delegates: [{ id, blob }] });
}

const isConstant = (value: WriteValue): value is WriteConstant =>
	value !== null && "data" in value;

/** @param buffer place of its data among the constants, from 1 */
function writeValue(value: WriteValue, buffer: number): Fields {
	if (value === null) return { 0: { u8: NULL! }, 1: { table: {} } };
	if ("int" in value)
		return { 0: { u8: INT! }, 1: { table: { 0: { u64: value.int } } } };
	if ("bool" in value)
		return {
			0: { u8: BOOL! },
			1: { table: { 0: { u8: Number(value.bool) } } },
		};
	if ("double" in value)
		return { 0: { u8: DOUBLE! }, 1: { table: { 0: { f64: value.double } } } };
	if ("list" in value)
		return { 0: { u8: LIST! }, 1: { table: { 0: i32s(value.list) } } };
	const { name, scalarType, shape, dimOrder = [...shape.keys()] } = value;
	const tensor: Fields = {
		0: { u8: scalarType },
		2: i32s(shape),
		3: { vector: Uint8Array.from(dimOrder), count: dimOrder.length },
		...(isConstant(value) ? { 5: { u32: buffer } } : { 6: { table: {} } }),
		...(name !== undefined && { 9: { table: { 1: { text: name } } } }),
	};
	return { 0: { u8: TENSOR! }, 1: { table: tensor } };
}

function writeCall(
	{ operator, delegate, args }: WriteCall,
	operators: readonly string[],
): Fields {
	if (operator === undefined && delegate === undefined)
		return { 0: { u8: JUMP! }, 1: { table: {} } };
	const isOperator = operator !== undefined;
	const index = isOperator ? operators.indexOf(operator) : delegate!;
	return {
		0: { u8: isOperator ? OPERATOR_CALL! : DELEGATE_CALL! },
		1: { table: { 0: { u32: index }, 1: i32s(args) } },
	};
}

const u64s = (values: readonly number[]): Field => ({
	vector: new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer),
	count: values.length,
});
