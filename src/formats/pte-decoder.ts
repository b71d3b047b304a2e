// The layers of a Llama or SmolLM3 in what a program computes. Names are not in it, but what each linear layer's output goes
// into is: that says which it is, whatever the order in which they are computed.
//
//   x ── norm ──┬─ q ── rotate ─┐
//    │          ├─ k ── rotate ─ custom_sdpa ── o ── + x
//    │          └─ v ───────────┘
//    └─ norm ──┬─ gate ── silu ─ × ── down ── + x
//              └─ up ───────────┘
import { UnsupportedError } from "../errors.ts";
import type { Flow, Linear, Operation, Value } from "./pte-flow.ts";
import {
	gatedBy,
	isSum,
	normOf,
	originOf,
	rotationOf,
} from "./pte-patterns.ts";

export interface DecoderLayer {
	readonly q: Linear;
	readonly k: Linear;
	readonly v: Linear;
	readonly o: Linear;
	readonly gate: Linear;
	readonly up: Linear;
	readonly down: Linear;
	readonly attentionNorm: Value;
	readonly mlpNorm: Value;
	/** Numbers of heads of queries, and of keys and values; numbers of a head. */
	readonly heads: number | undefined;
	readonly groups: number | undefined;
	readonly headSize: number | undefined;
	/** Whether queries and keys are rotated. */
	readonly isRotary: boolean;
}

export interface Decoder {
	/** Computes the first x from token ids. */
	readonly embedding: Operation;
	readonly layers: readonly DecoderLayer[];
	readonly norm: Value;
	readonly head: Linear;
}

const ATTENTION = "llama::custom_sdpa";

/** Finds every linear layer's place. Throws UnsupportedError where the program leaves one open. */
export function findDecoder(flow: Flow): Decoder {
	const attentions = flow.operations.filter(({ name }) =>
		name.startsWith(ATTENTION),
	);
	const following = new Map(
		flow.linears.map((linear) => [originOf(linear.inputs[0]!), linear]),
	);
	const gated = flow.linears.flatMap((down) => {
		const found = gatedBy(down.inputs[0]!);
		return found ? [{ down, ...found }] : [];
	});
	if (gated.length !== attentions.length || gated.length === 0)
		fail(
			`${attentions.length} calls of ${ATTENTION} and ${gated.length} linear layers with an input silu(gate) · up, expected one of each per layer`,
		);

	let embedding: Operation | undefined;
	let x: Value | undefined;
	let given: Linear | undefined;
	/** The norm before linear layers whose input is x. */
	const normBefore = (members: readonly [Linear, ...Linear[]]): Value => {
		const norm = sharedNorm(members);
		if (x && given && !isSum(norm.x, x, given))
			fail(
				`the input of ${the(members[0])} is not the sum of that of the layer before it and of what ${the(given)} gives`,
			);
		x = norm.x;
		return norm.weight;
	};
	const layers = attentions.map((attention, i): DecoderLayer => {
		const heads = findHeads(attention, i);
		const attentionNorm = normBefore([heads.q, heads.k, heads.v]);
		embedding ??= x?.from;
		const o =
			following.get(attention) ??
			fail(`layer ${i}: no linear layer follows ${ATTENTION}`);
		given = o;
		const { gate, up, down } = gated[i]!;
		const mlpNorm = normBefore([gate, up]);
		given = down;
		return { ...heads, o, gate, up, down, attentionNorm, mlpNorm };
	});
	const head = findHead(flow);
	const norm = normBefore([head]);
	const used = new Set([...layers.flatMap(linearsOf), head]);
	const expected = 7 * layers.length + 1;
	if (used.size !== flow.linears.length || used.size !== expected)
		fail(
			`${flow.linears.length} linear layers, of which ${used.size} have a place, expected ${expected}: seven in each of ${layers.length} layers and lm_head`,
		);
	return embedding
		? { embedding, layers, norm, head }
		: fail("the input of the first layer is not computed");
}

const linearsOf = ({ q, k, v, o, gate, up, down }: DecoderLayer) => [
	...[q, k, v, o, gate, up, down],
];

function fail(what: string): never {
	throw new UnsupportedError(what);
}

const the = ({ index, weights }: Linear) =>
	`linear layer ${index} [${weights.shape}]`;

/** The one linear layer that a value comes from. */
function only(value: Value | undefined, what: string): Linear {
	const [linear, other] = value?.linears ?? [];
	if (!linear) return fail(`${what} come from no linear layer`);
	if (other) fail(`${what} may come from ${the(linear)} or ${the(other)}`);
	return linear;
}

/** The norm before linear layers that have one input. */
function sharedNorm(members: readonly [Linear, ...Linear[]]) {
	const [first, ...others] = members.map(
		(linear) =>
			normOf(linear.inputs[0]!) ??
			fail(`the input of ${the(linear)} is no norm with constant weights`),
	);
	for (const [i, { weight, x }] of others.entries())
		if (weight !== first!.weight || x !== first!.x)
			fail(
				`${the(members[0])} and ${the(members[i + 1]!)} have different inputs`,
			);
	return first!;
}

/**
 * What goes into attention. Its arguments: queries, keys, values, position, mask, dropout, causal, scale, and whether heads
 * come before rows, [1, H, S, d], instead of [1, S, H, d].
 */
function findHeads({ inputs }: Operation, layer: number) {
	const where = `layer ${layer}:`;
	const [queries, keys, values] = inputs;
	const q = only(queries, `${where} queries`);
	const k = only(keys, `${where} keys`);
	const v = only(values, `${where} values`);
	const rotation = rotationOf(queries!, q);
	if (rotation === "other" || rotation !== rotationOf(keys!, k))
		fail(
			`${where} queries and keys are not rotated by halves of heads, or something else is done to them`,
		);
	if (rotationOf(values!, v) !== "none")
		fail(`${where} something is done to values`);
	const scale = inputs[7]?.literal ?? null;
	const usual = 1 / Math.sqrt(queries!.shape.at(-1) ?? 0);
	if (scale !== null && !(Math.abs(Number(scale) / usual - 1) < 1e-6))
		fail(`${where} attention is scaled by ${scale}, expected ${usual}`);
	const axis = inputs[8]?.literal === true ? 1 : 2;
	const heads = queries!.shape[axis];
	const groups = keys!.shape[axis];
	const headSize = queries!.shape[3];
	return { q, k, v, heads, groups, headSize, isRotary: rotation === "halves" };
}

/** The linear layer that gives the logits. */
function findHead({ outputs }: Flow): Linear {
	const logits = outputs.filter(({ linears }) => linears.size > 0);
	const head = only(logits[0], "the outputs");
	if (logits.length > 1 || originOf(logits[0]!) !== head)
		fail(`${the(head)} is not what gives the one output`);
	return head;
}
