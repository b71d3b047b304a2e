// Nodes of XNNPACK's graphs: what each computes from which values.
import type { Table } from "./flatbuffer.ts";

export interface XnnpackNode {
	/** "fully_connected", "multiply", …; "?" with a number for those whose fields are not known. */
	readonly kind: string;
	/** Numbers of values, in the order of the schema. */
	readonly inputs: readonly number[];
	readonly output: number | undefined;
	/** Weights and bias of a linear layer, which are not among its inputs. */
	readonly filter?: number;
	readonly bias?: number;
	/** Whether the weights are [inputs, outputs]. */
	readonly isTransposed?: boolean;
}

/** A kind of node and its fields' slots. */
type Fields = readonly [
	kind: string,
	inputs: readonly number[],
	output: number,
];

const unary = (kind: string): Fields => [kind, [0], 1];
const binary = (kind: string): Fields => [kind, [0, 1], 2];
const reshaping = (kind: string): Fields => [kind, [2], 3];
const concatenation = (count: number): Fields => [
	"concatenate",
	[1, 2, 3, 4, 7].slice(0, count),
	5,
];

const FULLY_CONNECTED = 2;
const TRANSPOSED = 1;
const NO_VALUE = 0xffffffff;
const NODES: ReadonlyMap<number, Fields> = new Map([
	[1, binary("add")],
	[3, unary("softmax")],
	[4, unary("sigmoid")],
	[5, reshaping("transpose")],
	[6, unary("clamp")],
	[8, binary("divide")],
	[12, binary("minimum")],
	[15, binary("multiply")],
	[16, binary("subtract")],
	[17, unary("floor")],
	[18, unary("convert")],
	[20, reshaping("reshape")],
	[22, unary("square_root")],
	[23, unary("ceiling")],
	[24, unary("hardswish")],
	[26, binary("maximum")],
	[27, unary("negate")],
	[28, unary("square")],
	[30, unary("abs")],
	[32, concatenation(2)],
	[33, concatenation(3)],
	[34, concatenation(4)],
	[35, ["slice", [3], 4]],
	[37, binary("matrix_multiply")],
	[38, concatenation(5)],
	[40, unary("reciprocal_square_root")],
	[41, unary("log")],
	[42, unary("gelu")],
]);

export function xnnpackNode(node: Table): XnnpackNode {
	const number = node.u8(0);
	const content = node.table(1);
	if (number === FULLY_CONNECTED && content) {
		const bias = content.u32(2);
		return {
			kind: "fully_connected",
			inputs: [content.u32(0)],
			output: content.u32(3),
			filter: content.u32(1),
			...(bias !== NO_VALUE && { bias }),
			isTransposed: (content.u32(4) & TRANSPOSED) !== 0,
		};
	}
	const fields = NODES.get(number);
	if (!fields || !content)
		return { kind: `?${number}`, inputs: [], output: undefined };
	const [kind, inputs, output] = fields;
	return {
		kind,
		inputs: inputs.map((slot) => content.u32(slot)),
		output: content.u32(output),
	};
}
