// What a method of an ExecuTorch program computes: operations, each with the values that it reads, whether the runtime or a
// node of an XNNPACK delegate computes them. Values know the linear layers that they come from.
import { UnsupportedError } from "../errors.ts";
import type { Extent, PteLiteral, PteMethod } from "./pte.ts";
import { type PteCall, type PteValue, storedType } from "./pte-method.ts";
import type {
	XnnpackBlob,
	XnnpackTensor,
	XnnpackValue,
} from "./pte-xnnpack.ts";
import type { XnnpackNode } from "./pte-xnnpack-node.ts";

export interface Value {
	/** The largest that it may have; empty for what is no tensor. */
	readonly shape: readonly number[];
	readonly type: string;
	/** What computes it; undefined for inputs, constants and what was there before. */
	readonly from: Operation | undefined;
	/** Linear layers that it comes from through anything but other linear layers. */
	readonly linears: ReadonlySet<Linear>;
	readonly constant: Extent | undefined;
	readonly literal: PteLiteral | undefined;
}

export interface Operation {
	/** "aten::mul.out", "llama::custom_sdpa.out"; of XNNPACK "multiply", "sigmoid", … */
	readonly name: string;
	/** Of operators: all arguments but the results. */
	readonly inputs: readonly Value[];
}

/** XNNPACK's linear layer. */
export interface Linear extends Operation {
	readonly name: "fully_connected";
	/** Place among all linear layers of the method, from 0. */
	readonly index: number;
	/** [outputs, inputs] */
	readonly weights: XnnpackTensor;
	readonly hasBias: boolean;
}

export interface Flow {
	/** In the order of execution. */
	readonly operations: readonly Operation[];
	readonly linears: readonly Linear[];
	readonly outputs: readonly Value[];
}

/** Values that are written in all. No model known has as many; but delegates may be called any number of times. */
const MAX_STEPS = 1 << 20;
/** Linear layers that all values together come from. */
const MAX_ORIGINS = 1 << 23;
const NONE: ReadonlySet<Linear> = new Set();

/** Follows a method from its inputs to its outputs. Throws UnsupportedError for what cannot be followed. */
export function traceMethod(method: PteMethod): Flow {
	const { name, values, calls, operators, delegates, graphs } = method;
	const fail = (what: string): never => {
		throw new UnsupportedError(`${name} ${what}`);
	};
	const operations: Operation[] = [];
	const linears: Linear[] = [];
	const current = values.map(valueBefore);
	let stepsLeft = MAX_STEPS;
	let originsLeft = MAX_ORIGINS;

	const at = (place: number | undefined): Value =>
		current[place ?? -1] ?? fail(`has no value ${place}`);
	const spend = (steps: number) => {
		stepsLeft -= steps;
		if (stepsLeft < 0) fail(`computes more than ${MAX_STEPS} values`);
	};
	const add = <O extends Operation>(operation: O): O => {
		spend(1);
		operations.push(operation);
		return operation;
	};
	const originsOf = (inputs: readonly Value[]): ReadonlySet<Linear> => {
		const sets = new Set(inputs.map(({ linears }) => linears));
		sets.delete(NONE);
		if (sets.size < 2) return [...sets][0] ?? NONE;
		const all = new Set<Linear>();
		for (const set of sets) {
			originsLeft -= set.size;
			if (originsLeft < 0) fail("is no sequence of layers");
			for (const linear of set) all.add(linear);
		}
		return all;
	};
	/** A list of tensors is one value, made of them. */
	const argument = (place: number): Value => {
		const { list } = values[place] ?? {};
		if (!list) return at(place);
		spend(list.length);
		const inputs = list.map(at);
		const from = { name: "list", inputs };
		return { ...at(place), from, linears: originsOf(inputs) };
	};

	const runOperator = ({ index, args }: PteCall) => {
		const operator = operators[index] ?? fail(`has no operator ${index}`);
		// The result is the last argument, and once more before it.
		const result = args.at(-1);
		const results = values[result ?? -1]?.list ?? [result];
		const reads = args.filter((place) => place !== result);
		let inputs = reads.map(argument);
		spend(results.length);
		const writes = [...results];
		if (operator.startsWith(CACHE_UPDATE)) {
			// (value, cache, position): the cache is written in place.
			writes.push(reads[1]);
			inputs = inputs.slice(0, 1);
		}
		const from = add({ name: operator, inputs });
		const linears = originsOf(inputs);
		for (const place of writes)
			current[place ?? -1] = {
				...at(place),
				from,
				linears,
				constant: undefined,
			};
	};

	const runDelegate = ({ index, args }: PteCall) => {
		const blob = graphs[index];
		if (!blob) {
			const id = delegates[index]?.id;
			return fail(
				id === undefined
					? "calls a delegate that is not there"
					: `calls ${id}, which keeps weights in a form of its own`,
			);
		}
		spend(blob.values.size);
		const inside = new Map<number, Value>();
		for (const [id, value] of blob.values) {
			if (value.isInput) inside.set(id, at(args[value.argument ?? -1]));
			else if (value.isConstant) inside.set(id, constantOf(value));
		}
		for (const node of blob.nodes) runNode(node, blob, inside);
		for (const [id, { argument, isInput }] of blob.values) {
			const computed = inside.get(id);
			if (argument === undefined || isInput) continue;
			const place = args[argument];
			if (computed && place !== undefined && current[place])
				current[place] = computed;
			else fail(`has no value ${id} of ${delegates[index]?.id}`);
		}
	};

	const runNode = (
		node: XnnpackNode,
		{ values }: XnnpackBlob,
		inside: Map<number, Value>,
	) => {
		const { kind, filter, output } = node;
		const written = values.get(output ?? -1);
		if (!written || output === undefined)
			return fail(`has a node of XNNPACK, ${kind}, that is not known`);
		const inputs = node.inputs.map(
			(id) => inside.get(id) ?? fail(`reads a value ${id} that is not there`),
		);
		const weights = filter === undefined ? undefined : values.get(filter);
		let from: Operation = { name: kind, inputs };
		let origins = originsOf(inputs);
		if (filter !== undefined) {
			if (!weights?.weights)
				return fail("has a linear layer whose weights are not in the file");
			if (node.isTransposed)
				return fail("has a linear layer with transposed weights");
			const linear: Linear = {
				name: "fully_connected",
				inputs,
				index: linears.length,
				weights,
				hasBias: node.bias !== undefined,
			};
			linears.push(linear);
			from = linear;
			origins = new Set([linear]);
		}
		const { shape, type } = written;
		const value = { shape, type, from: add(from), linears: origins };
		inside.set(output, { ...value, constant: undefined, literal: undefined });
	};

	for (const call of calls ?? fail("is no straight sequence of calls"))
		if (call.kind === "operator") runOperator(call);
		else runDelegate(call);
	return { operations, linears, outputs: method.outputs.map(at) };
}

const CACHE_UPDATE = "llama::update_cache";

const valueBefore = ({ tensor, literal }: PteValue): Value => ({
	shape: tensor?.shape ?? [],
	type: tensor ? storedType(tensor) : "",
	from: undefined,
	linears: NONE,
	constant: tensor?.constant,
	literal,
});

const constantOf = ({ shape, type, weights }: XnnpackValue): Value => ({
	shape,
	type,
	from: undefined,
	linears: NONE,
	constant: weights,
	literal: undefined,
});
