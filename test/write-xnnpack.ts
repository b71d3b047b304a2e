import { type Fields, i32s, writeFlatbuffer } from "./write-flatbuffer.ts";

/** A value of a graph of XNNPACK. */
export interface WriteXnnpackValue {
	/** XNNPACK's number of the element type. */
	readonly datatype: number;
	readonly shape: readonly number[];
	/** Of a constant. */
	readonly data?: Uint8Array;
	/** Columns per scale; without it a row has one. */
	readonly groupSize?: number;
	readonly scales?: Uint8Array;
	/** Whether the scales are in the graph itself. */
	readonly inGraph?: boolean;
	/** Key of the constant among the program's named data; its scales are under "scale_" and the key. */
	readonly key?: string;
	/** Place among the arguments of the delegate's call, of its inputs and outputs. */
	readonly argument?: number;
}

export interface WriteNode {
	/** XNNPACK's number of the node. */
	readonly type: number;
	/** Numbers by their slots. */
	readonly fields: Record<number, number>;
}

export interface WriteXnnpack {
	readonly values: readonly WriteXnnpackValue[];
	readonly nodes: readonly WriteNode[];
	/** Places of values. */
	readonly inputs?: readonly number[];
	readonly outputs?: readonly number[];
}

const HEADER_BYTES = 32;
const GAP = 16;
const NO_ARGUMENT = 0xffffffff;

/** The blob of a delegate. Slots are those of the published schema. */
export function writeXnnpack(graph: WriteXnnpack): Uint8Array {
	const { values, nodes, inputs = [], outputs = [] } = graph;
	const isHere = ({ key }: WriteXnnpackValue) => key === undefined;
	const none = new Uint8Array(0);
	const stored = values.flatMap((value) => {
		const { data = none, scales = none, inGraph } = value;
		return isHere(value) ? [data, inGraph ? none : scales] : [none, none];
	});
	const { bytes: constants, starts } = spaced(stored);
	const place = (index: number): Fields => {
		const { key } = values[index >> 1]!;
		if (key !== undefined)
			return { 2: { text: index % 2 === 0 ? key : `scale_${key}` } };
		return {
			0: { u64: starts[index]! },
			1: { u64: stored[index]!.length },
		};
	};
	const flatbuffer = writeFlatbuffer({
		1: { tables: nodes.map(writeNode) },
		2: { tables: values.map(writeValue) },
		4: i32s(inputs),
		5: i32s(outputs),
		8: { tables: [{}, ...stored.map((_, i) => place(i))] },
	});
	const header = new Uint8Array(HEADER_BYTES);
	const view = new DataView(header.buffer);
	header.set(new TextEncoder().encode("XH00"), 4);
	view.setUint16(8, 30, true);
	view.setUint32(10, HEADER_BYTES, true);
	view.setUint32(14, flatbuffer.length, true);
	view.setUint32(18, HEADER_BYTES + flatbuffer.length, true);
	view.setBigUint64(22, BigInt(constants.length), true);
	return new Uint8Array(Buffer.concat([header, flatbuffer, constants]));
}

function writeNode({ type, fields }: WriteNode): Fields {
	const slots = Object.entries(fields).map(([slot, u32]) => [slot, { u32 }]);
	return { 0: { u8: type }, 1: { table: Object.fromEntries(slots) } };
}

function writeValue(value: WriteXnnpackValue, i: number): Fields {
	const { datatype, shape, data, groupSize, scales, inGraph } = value;
	const tensor: Fields = {
		0: { i16: datatype },
		1: { u32: shape.length },
		2: i32s(shape),
		...(data && { 3: { u32: 2 * i + 1 } }),
		4: { u32: value.argument ?? NO_ARGUMENT },
		6: { u32: i },
	};
	if (!scales) return { 0: { u8: 1 }, 1: { table: tensor } };
	const perGroup: Fields = {
		2: { u32: groupSize ?? 0 },
		...(inGraph
			? { 3: { vector: scales, count: scales.length / 2 } }
			: { 4: { u32: 2 * i + 2 } }),
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
export function spaced(pieces: readonly Uint8Array[]): {
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
