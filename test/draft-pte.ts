// ExecuTorch programs, written call by call: what an exporter does for a method of a model.
import {
	type WriteCall,
	type WriteTensor,
	type WriteValue,
	writeProgram,
} from "./write-pte.ts";
import {
	type WriteNode,
	type WriteXnnpackValue,
	writeXnnpack,
} from "./write-xnnpack.ts";

/** Numbers of element types. */
export const F32 = { program: 6, xnnpack: 1 };
const QD8 = 9;
const NO_VALUE = 0xffffffff;

/** Slots of a node's inputs and of its output. */
const NODES = {
	add: [1, [0, 1], 2],
	sigmoid: [4, [0], 1],
	multiply: [15, [0, 1], 2],
	convert: [18, [0], 1],
	negate: [27, [0], 1],
	concatenate: [32, [1, 2], 5],
	slice: [35, [3], 4],
	reciprocal_square_root: [40, [0], 1],
	square: [28, [0], 1],
} as const;
const FULLY_CONNECTED = 2;

/** The graph of a delegate as it grows. Values are known by their places. */
export class DraftGraph {
	readonly values: WriteXnnpackValue[] = [];
	readonly nodes: WriteNode[] = [];
	readonly inputs: number[] = [];
	readonly outputs: number[] = [];

	private value(value: WriteXnnpackValue): number {
		return this.values.push(value) - 1;
	}

	input(shape: readonly number[]): number {
		const argument = this.inputs.length;
		const place = this.value({ datatype: F32.xnnpack, shape, argument });
		this.inputs.push(place);
		return place;
	}

	constant(value: WriteXnnpackValue): number {
		return this.value(value);
	}

	node(
		kind: keyof typeof NODES,
		inputs: readonly number[],
		shape: readonly number[],
		datatype = F32.xnnpack,
	): number {
		const [type, slots, output] = NODES[kind];
		const place = this.value({ datatype, shape });
		const fields = Object.fromEntries(
			slots.map((slot, i) => [slot, inputs[i]!]),
		);
		this.nodes.push({ type, fields: { ...fields, [output]: place } });
		return place;
	}

	/** A linear layer whose input is quantized. */
	linear(x: number, weights: WriteXnnpackValue): number {
		const input = this.values[x]!.shape;
		const quantized = this.node("convert", [x], input, QD8);
		const filter = this.constant(weights);
		const shape = [...input.slice(0, -1), weights.shape[0]!];
		const output = this.value({ datatype: F32.xnnpack, shape });
		const fields = { 0: quantized, 1: filter, 2: NO_VALUE, 3: output, 4: 0 };
		this.nodes.push({ type: FULLY_CONNECTED, fields });
		return output;
	}
}

/** A program as it grows; tests may change what it consists of before it is written. */
export class DraftProgram {
	readonly values: WriteValue[] = [];
	readonly calls: WriteCall[] = [];
	readonly graphs: DraftGraph[] = [];
	readonly namedData: Record<string, Uint8Array> = {};
	inputs: number[] = [];
	outputs: number[] = [];
	backend = "XnnpackBackend";

	value(value: WriteValue): number {
		return this.values.push(value) - 1;
	}

	tensor(shape: readonly number[], more: Partial<WriteTensor> = {}): number {
		return this.value({ scalarType: F32.program, shape, ...more });
	}

	shapeOf(place: number): readonly number[] {
		return (this.values[place] as WriteTensor).shape;
	}

	/** Calls an operator, which is given its result twice, as exporters do. */
	call(
		operator: string,
		args: readonly number[],
		shape: readonly number[],
	): number {
		const result = this.tensor(shape);
		this.calls.push({ operator, args: [...args, result, result] });
		return result;
	}

	/** Calls a new delegate, whose graph `fill` writes. Returns its outputs. */
	delegate(
		inputs: readonly number[],
		fill: (graph: DraftGraph, inputs: number[]) => readonly number[],
	): number[] {
		const graph = new DraftGraph();
		const places = inputs.map((place) => graph.input(this.shapeOf(place)));
		graph.outputs.push(...fill(graph, places));
		const results = graph.outputs.map((place, i) => {
			const value = graph.values[place]!;
			graph.values[place] = { ...value, argument: inputs.length + i };
			return this.tensor(value.shape);
		});
		const delegate = this.graphs.push(graph) - 1;
		this.calls.push({ delegate, args: [...inputs, ...results] });
		return results;
	}

	write(): Uint8Array {
		const delegates = this.graphs.map((graph) => ({
			id: this.backend,
			blob: writeXnnpack(graph),
		}));
		return writeProgram({ ...this, delegates });
	}
}
