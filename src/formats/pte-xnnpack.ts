// The blob of an XNNPACK delegate in an ExecuTorch program. Its weights are plain: XNNPACK packs them when it loads.
//
//   4  "XH00"   8  u16 header bytes   10  u32 flatbuffer offset, u32 bytes   18  u32 constants offset, u64 bytes
//   the flatbuffer "XNNGraph", then constants, unless they are named data of the program
//
//   qbint4  codes [N, K/2]: byte j = (q[2j] + 8) | (q[2j + 1] + 8) << 4; scales bf16 [N, K/g]
//   qcint4  codes as above; scales f32 [N]
//   qcint8  codes [N, K], two's complement; scales f32 [N]
// Source: pytorch/executorch's published schema.
import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import { readFlatbuffer, type Table } from "./flatbuffer.ts";
import type { Extent } from "./pte.ts";
import { type XnnpackNode, xnnpackNode } from "./pte-xnnpack-node.ts";

export interface XnnpackGraph {
	readonly nodes: number;
	/** Everything constant that is in the file: weights, biases, norms. */
	readonly constants: readonly XnnpackTensor[];
	/** Weights of its linear layers, in the order of execution. */
	readonly linears: readonly XnnpackTensor[];
}

export interface XnnpackTensor {
	/** Of a linear layer's weights [outputs, inputs]. */
	readonly shape: readonly number[];
	/** "qbint4": 4 bits per group; "qcint8", "qcint4": per row; "F32"; … "?" with a number for others. */
	readonly type: string;
	/** Columns per scale; 0 where a row has one or there are none. */
	readonly groupSize: number;
	/** Key of the weights among the program's named data. */
	readonly key: string | undefined;
	/** Undefined where they are in another file. */
	readonly weights: Extent | undefined;
	readonly scales: Extent | undefined;
}

/** A delegate's blob: what is in its graph, and what the graph computes. */
export interface XnnpackBlob {
	readonly graph: XnnpackGraph;
	/** In the order of execution. */
	readonly nodes: readonly XnnpackNode[];
	/** By the numbers that nodes have for them. */
	readonly values: ReadonlyMap<number, XnnpackValue>;
}

export interface XnnpackValue extends XnnpackTensor {
	readonly isConstant: boolean;
	/** Place among the arguments of the call that runs the delegate, where it is one of them. */
	readonly argument: number | undefined;
	readonly isInput: boolean;
}

const HEADER_BYTES = 30;
const MAX_GRAPH_BYTES = 1 << 26;
const QUANTIZED_VALUE = 2;
const PER_CHANNEL = 1;
const PER_GROUP = 4;
const DATATYPES = new Map([
	[1, "F32"],
	[2, "F16"],
	[6, "qcint8"],
	[8, "qcint4"],
	[9, "qdint8"],
	[10, "qbint4"],
	[14, "BF16"],
]);

/** Reads the graph of a delegate whose blob is `blob`. Throws CheckpointError where it is damaged. */
export async function readXnnpack(
	source: ByteSource,
	blob: Extent,
	namedData: ReadonlyMap<string, Extent>,
): Promise<XnnpackBlob> {
	const where = `${source.name}: XNNPACK delegate at ${blob.offset}`;
	const head = await source.read(
		blob.offset,
		Math.min(HEADER_BYTES, blob.bytes),
	);
	const marked =
		head.length === HEADER_BYTES &&
		new TextDecoder().decode(head.subarray(4, 8)) === "XH00";
	const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
	const start = marked ? view.getUint32(10, true) : 0;
	const length = marked ? view.getUint32(14, true) : blob.bytes;
	const constants = marked ? view.getUint32(18, true) : blob.bytes;
	if (start + length > blob.bytes || length > MAX_GRAPH_BYTES) {
		throw new CheckpointError(
			`${where}: a graph of ${length} bytes at ${start}, the blob has ${blob.bytes}`,
		);
	}
	const graph = await source.read(blob.offset + start, length);
	return readFlatbuffer(graph, where, (root) => {
		const data = root.tables(8).map((t) => ({
			offset: t.u64(0),
			bytes: t.u64(1),
			key: t.string(2),
		}));
		const extent = (index: number): Extent | undefined => {
			const found = index === 0 ? undefined : data[index];
			if (found === undefined) return undefined;
			if (found.key) return namedData.get(found.key);
			const at = constants + found.offset;
			if (!(at + found.bytes <= blob.bytes)) {
				throw new CheckpointError(
					`${where}: constant ${index} takes ${found.bytes} bytes at ${at}, the blob has ${blob.bytes}`,
				);
			}
			return { offset: blob.offset + at, bytes: found.bytes };
		};
		const values = new Map<number, XnnpackValue>();
		const inputs = new Set(root.i32s(4));
		const outputs = new Set(root.i32s(5));
		for (const [id, value] of root.tables(2).map(numberedValue)) {
			const { weightIndex, scaleIndex, ownScales, external, ...about } = value;
			const isInput = inputs.has(id);
			values.set(id, {
				...about,
				isConstant: weightIndex !== 0,
				isInput,
				argument: isInput || outputs.has(id) ? external : undefined,
				key: data[weightIndex]?.key || undefined,
				weights: extent(weightIndex),
				scales:
					extent(scaleIndex) ??
					(ownScales && {
						offset: blob.offset + start + ownScales.offset,
						bytes: ownScales.bytes,
					}),
			});
		}
		const nodes = root.tables(1).map(xnnpackNode);
		const graph = {
			nodes: nodes.length,
			constants: [...values.values()]
				.filter(({ weights }) => weights)
				.map(tensorOf),
			linears: nodes
				.map(({ filter }) => filter !== undefined && values.get(filter))
				.filter((value) => value !== undefined && value !== false)
				.map(tensorOf),
		};
		return { graph, nodes, values };
	});
}

const tensorOf = ({
	isConstant,
	argument,
	isInput,
	...tensor
}: XnnpackValue): XnnpackTensor => tensor;

/** A value of the graph by its id. */
function numberedValue(table: Table) {
	const content = table.table(1);
	const quantized = table.u8(0) === QUANTIZED_VALUE;
	const tensor = quantized ? content?.table(0) : content;
	const kind = quantized ? (content?.u8(1) ?? 0) : 0;
	const params = quantized ? content?.table(2) : undefined;
	const type = tensor?.i16(0) ?? 0;
	const scaleSlot = { [PER_CHANNEL]: 2, [PER_GROUP]: 4 }[kind];
	const value = {
		shape: tensor?.i32s(2) ?? [],
		type: DATATYPES.get(type) ?? `?${type}`,
		groupSize: kind === PER_GROUP ? (params?.u32(2) ?? 0) : 0,
		weightIndex: tensor?.u32(3) ?? 0,
		scaleIndex: scaleSlot ? (params?.u32(scaleSlot) ?? 0) : 0,
		// Early files have the scales in the graph itself: of rows f32, of groups bf16.
		ownScales:
			kind === PER_CHANNEL
				? params?.extent(0, 4)
				: kind === PER_GROUP
					? params?.extent(3, 2)
					: undefined,
		external: tensor?.u32(4) ?? 0,
	};
	return [tensor?.u32(6) ?? 0, value] as const;
}
