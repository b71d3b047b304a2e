// Small patterns in what a program computes: values that were only moved, products, gates, rotations.
import type { Linear, Operation, Value } from "./pte-flow.ts";

/** Operations that move numbers, or change their type, and leave them what they are. */
const MOVES =
	/^(convert|reshape|transpose|aten::(_to_copy|alias_copy|clone|contiguous|expand_copy|permute_copy|squeeze_copy|t_copy|transpose_copy|unsqueeze_copy|view_copy)|dim_order_ops::.*|executorch_prim::et_view)(\.|$)/;
/** Operations that take some of the rows. */
const SLICES = /^(slice|aten::(slice|select|index_select|index)(_copy)?)(\.|$)/;
const SUM = /^(add|aten::add)(\.|$)/;
const PRODUCT = /^(multiply|aten::mul)(\.|$)/;
const SIGMOID = /^(sigmoid|aten::sigmoid)(\.|$)/;
const SILU = /^aten::silu(\.|$)/;
const INVERSE_ROOT = /^(reciprocal_square_root|aten::rsqrt)(\.|$)/;

const origins = new WeakMap<Value, Value>();

/** The value before it was moved, and before rows of it were taken. */
function origin(value: Value): Value {
	const moved: Value[] = [];
	let at = origins.get(value) ?? value;
	for (let before = source(at); before; before = source(at)) {
		moved.push(at);
		at = origins.get(before) ?? before;
	}
	for (const each of [value, ...moved]) origins.set(each, at);
	return at;
}

/** What a value was moved from; undefined where it was computed. */
function source({ from, shape }: Value): Value | undefined {
	const [input] = from?.inputs ?? [];
	if (!from || !input) return undefined;
	const keepsColumns = input.shape.at(-1) === shape.at(-1);
	const isMove =
		MOVES.test(from.name) || (keepsColumns && SLICES.test(from.name));
	return isMove ? input : undefined;
}

/** What computes the value that was moved. */
export const originOf = (value: Value): Operation | undefined =>
	origin(value).from;

/** Both factors of a product. */
function productOf(value: Value): Pair | undefined {
	const from = originOf(value);
	const [a, b] = from?.inputs ?? [];
	if (!from || !a || !b || !PRODUCT.test(from.name)) return undefined;
	return [origin(a), origin(b)];
}

/** Whether a value is x plus what a linear layer gives, as they are. */
export function isSum(value: Value, x: Value, linear: Linear): boolean {
	const [a, b, factor] = value.from?.inputs ?? [];
	const terms = a && b && [origin(a), origin(b)];
	return (
		terms !== undefined &&
		SUM.test(value.from?.name ?? "") &&
		// What the operator multiplies its second term by.
		(factor?.literal ?? 1) === 1 &&
		terms.includes(x) &&
		terms.some(({ from }) => from === linear)
	);
}

/** The constants w and the value x of w · (x · rsqrt(mean(x²) + ε)). */
export function normOf(
	value: Value,
): { readonly weight: Value; readonly x: Value } | undefined {
	const [weight, normed] = inEitherOrder(productOf(value), ([w, x]) =>
		Boolean(w.constant && !x.constant),
	);
	const [, x] = inEitherOrder(normed && productOf(normed), ([root]) =>
		INVERSE_ROOT.test(root.from?.name ?? ""),
	);
	return weight && x && { weight, x };
}

type Pair = readonly [Value, Value];

/** The pair in the order that is wanted; nothing where neither is. */
function inEitherOrder(
	pair: Pair | undefined,
	isWanted: (pair: Pair) => boolean,
): Pair | readonly [] {
	if (!pair) return [];
	const [a, b] = pair;
	if (isWanted(pair)) return pair;
	return isWanted([b, a]) ? [b, a] : [];
}

/** Gate and up of the product silu(gate) · up, where silu(g) is g · sigmoid(g). */
export function gatedBy(
	value: Value,
): { readonly gate: Linear; readonly up: Linear } | undefined {
	const [activated, other] = inEitherOrder(
		productOf(value),
		([activated, other]) =>
			isLinear(siluInput(activated)?.from) && isLinear(other.from),
	);
	const gate = activated && siluInput(activated)?.from;
	const up = other?.from;
	return isLinear(gate) && isLinear(up) ? { gate, up } : undefined;
}

function siluInput(value: Value): Value | undefined {
	const { from } = value;
	const [input] = from?.inputs ?? [];
	if (from && input && SILU.test(from.name)) return origin(input);
	const [x] = inEitherOrder(productOf(value), ([x, sigmoid]) => {
		const { name, inputs } = sigmoid.from ?? { name: "", inputs: [] };
		return (
			SIGMOID.test(name) && inputs[0] !== undefined && origin(inputs[0]) === x
		);
	});
	return x;
}

const isLinear = (operation: Operation | undefined): operation is Linear =>
	operation?.name === "fully_connected";

/**
 * What is done to heads on their way from a linear layer. Halves of a head, d/2 numbers each, are what models of Hugging Face
 * rotate. What rotates neighbours has pairs of them on the way, and its rows are in another order; other models have norms there.
 */
export function rotationOf(
	value: Value,
	linear: Linear,
): "none" | "halves" | "other" {
	const half = value.shape.at(-1)! / 2;
	let rotation: "none" | "halves" = "none";
	const seen = new Set<Value>([value]);
	for (const { shape, from, linears } of seen) {
		if (!linears.has(linear) || from === linear) continue;
		const width = shape.at(-1);
		if (width === 2 || (from && INVERSE_ROOT.test(from.name))) return "other";
		if (width === half) rotation = "halves";
		for (const input of from?.inputs ?? []) seen.add(input);
	}
	return rotation;
}
