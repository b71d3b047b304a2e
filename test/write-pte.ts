import {
	type Field,
	type Fields,
	writeFlatbuffer,
} from "./write-flatbuffer.ts";

/** A constant of a plan. */
export interface WriteConstant {
	readonly name?: string;
	/** ExecuTorch's number of the element type. */
	readonly scalarType: number;
	readonly shape: readonly number[];
	readonly dimOrder?: readonly number[];
	readonly data: Uint8Array;
}

/** A weight of an XNNPACK delegate. */
export interface WriteWeight {
	/** XNNPACK's number of the element type. */
	readonly datatype: number;
	readonly shape: readonly number[];
	readonly data: Uint8Array;
	/** Columns per scale; without it a row has one. */
	readonly groupSize?: number;
	readonly scales?: Uint8Array;
	/** Whether the scales, f32, are in the graph itself. */
	readonly inGraph?: boolean;
}

const HEADER_BYTES = 32;
const GAP = 16;

/**
 * An ExecuTorch program with one method "forward": constants in a segment, and weights in a delegate of XNNPACK. Slots are
 * those of the published schemas.
 */
export function writePte(
	constants: readonly WriteConstant[],
	weights: readonly WriteWeight[] = [],
	delegate = "XnnpackBackend",
): Uint8Array {
	const { bytes: segment, starts } = spaced(constants.map((c) => c.data));
	const blob = writeXnnpack(weights);
	const plan: Fields = {
		0: { text: "forward" },
		2: { tables: constants.map(constantValue) },
		7: { tables: [{ 0: { text: delegate }, 1: { table: { 1: { u32: 0 } } } }] },
	};
	const program = writeFlatbuffer(
		{
			1: { tables: [plan] },
			3: { tables: [{ 0: { vector: blob, count: blob.length } }] },
			4: { tables: [{ 0: { u64: 0 }, 1: { u64: segment.length } }] },
			// The first offset stands for "not constant".
			5: { table: { 0: { u32: 0 }, 1: u64s([0, ...starts]) } },
		},
		4 + HEADER_BYTES,
	);
	const view = new DataView(program.buffer);
	program.set(new TextEncoder().encode("ET12eh00"), 4);
	view.setUint32(12, HEADER_BYTES, true);
	view.setBigUint64(16, BigInt(program.length), true);
	view.setBigUint64(24, BigInt(program.length), true);
	view.setBigUint64(32, BigInt(segment.length), true);
	return joined(program, segment);
}

function constantValue(constant: WriteConstant, i: number): Fields {
	const { name, scalarType, shape, dimOrder = [...shape.keys()] } = constant;
	const tensor: Fields = {
		0: { u8: scalarType },
		2: i32s(shape),
		3: { vector: Uint8Array.from(dimOrder), count: dimOrder.length },
		5: { u32: i + 1 },
		...(name !== undefined && { 9: { table: { 1: { text: name } } } }),
	};
	return { 0: { u8: 5 }, 1: { table: tensor } };
}

/** The delegate's blob: a linear layer for each weight. */
function writeXnnpack(weights: readonly WriteWeight[]): Uint8Array {
	const stored = weights.flatMap(({ data, scales, inGraph }) => [
		data,
		inGraph || !scales ? new Uint8Array(0) : scales,
	]);
	const { bytes: constants, starts } = spaced(stored);
	const graph = writeFlatbuffer({
		1: {
			tables: weights.map((_, i) => ({
				0: { u8: 2 },
				1: { table: { 1: { u32: i } } },
			})),
		},
		2: { tables: weights.map(weightValue) },
		8: {
			tables: [
				{},
				...stored.map((data, i) => ({
					0: { u64: starts[i]! },
					1: { u64: data.length },
				})),
			],
		},
	});
	const header = new Uint8Array(HEADER_BYTES);
	const view = new DataView(header.buffer);
	header.set(new TextEncoder().encode("XH00"), 4);
	view.setUint16(8, 30, true);
	view.setUint32(10, HEADER_BYTES, true);
	view.setUint32(14, graph.length, true);
	view.setUint32(18, HEADER_BYTES + graph.length, true);
	view.setBigUint64(22, BigInt(constants.length), true);
	return joined(header, graph, constants);
}

function weightValue(weight: WriteWeight, i: number): Fields {
	const { datatype, shape, groupSize, scales, inGraph } = weight;
	const tensor: Fields = {
		0: { i16: datatype },
		1: { u32: shape.length },
		2: i32s(shape),
		3: { u32: 2 * i + 1 },
		6: { u32: i },
	};
	if (!scales) return { 0: { u8: 1 }, 1: { table: tensor } };
	const perGroup: Fields = {
		2: { u32: groupSize ?? 0 },
		4: { u32: 2 * i + 2 },
	};
	const perChannel: Fields = inGraph
		? { 0: { vector: scales, count: scales.length / 4 } }
		: { 2: { u32: 2 * i + 2 } };
	const quantized: Fields = {
		0: { table: tensor },
		1: { u8: groupSize ? 4 : 1 },
		2: { table: groupSize ? perGroup : perChannel },
	};
	return { 0: { u8: 2 }, 1: { table: quantized } };
}

/** Pieces with gaps between them, as alignment leaves them. */
function spaced(pieces: readonly Uint8Array[]): {
	bytes: Uint8Array;
	starts: number[];
} {
	const starts: number[] = [];
	let end = 0;
	for (const { length } of pieces) {
		starts.push(end);
		end = Math.ceil((end + length) / GAP) * GAP;
	}
	const bytes = new Uint8Array(end);
	for (const [i, piece] of pieces.entries()) bytes.set(piece, starts[i]);
	return { bytes, starts };
}

const i32s = (values: readonly number[]): Field => ({
	vector: new Uint8Array(Int32Array.from(values).buffer),
	count: values.length,
});
const u64s = (values: readonly number[]): Field => ({
	vector: new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer),
	count: values.length,
});
const joined = (...parts: readonly Uint8Array[]): Uint8Array =>
	new Uint8Array(Buffer.concat(parts));
