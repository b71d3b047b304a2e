// The embedded model, quantized as 8da4w, as an ExecuTorch program of the recipe "xnnpack": linear layers with what is computed
// around them in delegates, attention and its cache as operators of their own.
import { type DraftGraph, DraftProgram, F32 } from "./draft-pte.ts";
import {
	bfloat16Bits,
	bytesOf,
	type QuantizedNano,
	quantizeNano,
	type StoredAs,
	withConfig,
} from "./quantized-nano.ts";
import type { WriteXnnpackValue } from "./write-xnnpack.ts";

export const EMBEDDING = "model.embed_tokens.weight";
const [D, H, K, SIZE, LAYERS, CACHE] = [256, 4, 2, 64, 4, 64];
/** Rows that a call may have. */
const ROWS = 8;
const X = [1, ROWS, D];
const [QCINT8, QBINT4] = [6, 10];

export interface NanoPteOptions {
	/** In which order the projections of a layer's input are computed. */
	readonly order?: readonly ("q" | "k" | "v")[];
	/** Whether up is computed before gate. */
	readonly upFirst?: boolean;
	/** Whether each linear layer has a delegate of its own. */
	readonly apart?: boolean;
	/** What is done to heads: SmolLM3 rotates halves. */
	readonly rotation?: "halves" | "pairs";
	/** Whether layers that are not rotated are. */
	readonly rotatesAll?: boolean;
	/** Whether attention takes heads before rows. */
	readonly headsFirst?: boolean;
	/** How the embedding is stored. */
	readonly embedding?: "byte" | "4bit" | "float";
	/** Where constants of delegates are: in their blobs, or in the program. */
	readonly named?: boolean;
}

/** The program as it can still be changed. */
export async function draftNano(
	options: NanoPteOptions = {},
): Promise<DraftProgram> {
	const weights = await quantizeNano("8da4w");
	const program = new DraftProgram();
	const tokens = program.tensor([1, ROWS], { scalarType: 4 });
	program.inputs = [tokens];
	const build = new Builder(program, weights, options);
	let x = build.embedding(tokens);
	for (let layer = 0; layer < LAYERS; layer++) x = build.layer(x, layer);
	program.outputs = [build.head(x)];
	return program;
}

/** The program beside the model's configuration and tokenizer. */
export async function nanoPte(
	options: NanoPteOptions = {},
	config: Readonly<Record<string, unknown>> = {},
	change: (program: DraftProgram) => void = () => {},
): Promise<Record<string, Uint8Array>> {
	const program = await draftNano(options);
	change(program);
	return { ...withConfig(config), "model.pte": program.write() };
}

class Builder {
	readonly program: DraftProgram;
	readonly weights: QuantizedNano;
	readonly options: NanoPteOptions;
	/** Of the first row. */
	readonly position: number;

	constructor(
		program: DraftProgram,
		weights: QuantizedNano,
		options: NanoPteOptions,
	) {
		this.program = program;
		this.weights = weights;
		this.options = options;
		this.position = program.value({ int: 0 });
	}

	embedding(tokens: number): number {
		const { program } = this;
		const { shape, codes, scales } = this.weights.quantized.get(EMBEDDING)!;
		if (this.options.embedding === "float") {
			const values = Float32Array.from(
				codes,
				(code, i) => code * scales[Math.floor(i / D)]!,
			);
			const weights = program.tensor(shape, { data: bytesOf(values) });
			return program.call("aten::embedding.out", [weights, tokens], X);
		}
		const [rows] = shape;
		const is4Bit = this.options.embedding === "4bit";
		const stored = is4Bit
			? { scalarType: 0, shape: [rows, D / 2], data: highEven(codes) }
			: { scalarType: 1, shape, data: bytesOf(codes) };
		const args = [
			program.tensor(shape, stored),
			program.tensor([rows], { data: bytesOf(scales) }),
			program.tensor([rows], { scalarType: 1, data: new Uint8Array(rows) }),
			program.value({ int: 0 }),
			program.value({ int: 127 }),
			tokens,
		];
		const name = is4Bit ? "embedding_4bit" : "embedding_byte";
		return program.call(`quantized_decomposed::${name}.out`, args, X);
	}

	layer(x: number, i: number): number {
		const { program } = this;
		const { order = ["q", "k", "v"], upFirst } = this.options;
		const name = (module: string) => `model.layers.${i}.${module}`;
		const h = this.norm(x, name("input_layernorm"));
		const projections = order.map((p) => name(`self_attn.${p}_proj`));
		const results = this.linears(h, projections);
		const [q, k, v] = (["q", "k", "v"] as const).map(
			(p) => results[order.indexOf(p)]!,
		);
		const isRotary = this.options.rotatesAll || (i + 1) % 4 !== 0;
		const queries = this.heads(q!, H, isRotary);
		const keys = this.cached(this.heads(k!, K, isRotary));
		const values = this.cached(this.heads(v!, K, false));
		const { headsFirst = false } = this.options;
		const nothing = program.value(null);
		const attended = program.call(
			"llama::custom_sdpa.out",
			[
				...[queries, keys, values, this.position, nothing],
				program.value({ double: 0 }),
				program.value({ bool: true }),
				program.value({ double: SIZE ** -0.5 }),
				...(headsFirst ? [program.value({ bool: true })] : []),
			],
			headsFirst ? [1, H, ROWS, SIZE] : [1, ROWS, H, SIZE],
		);
		const joined = program.call("aten::view_copy.out", [attended], X);
		const [o] = this.linears(joined, [name("self_attn.o_proj")]);
		const middle = this.sum(x, o!);
		const m = this.norm(middle, name("post_attention_layernorm"));
		const gated = upFirst ? ["up", "gate"] : ["gate", "up"];
		const both = this.linears(
			m,
			gated.map((p) => name(`mlp.${p}_proj`)),
		);
		const [gate, up] = upFirst ? both.toReversed() : both;
		const [f] = program.delegate([gate!, up!], (g, [gate, up]) => {
			const shape = g.values[gate!]!.shape;
			const sigmoid = g.node("sigmoid", [gate!], shape);
			const silu = g.node("multiply", [gate!, sigmoid], shape);
			return [g.node("multiply", [silu, up!], shape)];
		});
		const [down] = this.linears(f!, [name("mlp.down_proj")]);
		return this.sum(middle, down!);
	}

	head(x: number): number {
		const h = this.norm(x, "model.norm");
		const [logits] = this.linears(h, ["lm_head"]);
		return logits!;
	}

	/** w · (x · rsqrt(mean(x²) + ε)): the mean is the runtime's, the rest is in delegates. */
	private norm(x: number, name: string): number {
		const { program } = this;
		const { values } = this.weights.plain.get(`${name}.weight`)!;
		const [squared] = program.delegate([x], (g, [x]) => [
			g.node("square", [x!], X),
		]);
		const mean = program.call("aten::mean.out", [squared!], [1, ROWS, 1]);
		const [normed] = program.delegate([x, mean], (g, [x, mean]) => {
			const shape = [1, ROWS, 1];
			const eps = bytesOf(Float32Array.of(1e-6));
			const epsilon = g.constant(plain([1], eps));
			const sum = g.node("add", [mean!, epsilon], shape);
			const root = g.node("reciprocal_square_root", [sum], shape);
			const scaled = g.node("multiply", [x!, root], X);
			const weight = g.constant(plain([D], bytesOf(values)));
			return [g.node("multiply", [weight, scaled], X)];
		});
		return normed!;
	}

	/** Linear layers with one input, in one delegate or in one each. */
	private linears(x: number, names: readonly string[]): number[] {
		const { program, options } = this;
		const linear = (g: DraftGraph, x: number, name: string) =>
			g.linear(x, this.stored(name));
		if (options.apart)
			return names.flatMap((name) =>
				program.delegate([x], (g, [x]) => [linear(g, x!, name)]),
			);
		return program.delegate([x], (g, [x]) =>
			names.map((name) => linear(g, x!, name)),
		);
	}

	private stored(name: string): WriteXnnpackValue {
		const q = this.weights.quantized.get(`${name}.weight`)!;
		const value = xnnpackWeights(q);
		if (!this.options.named) return value;
		this.program.namedData[name] = value.data!;
		this.program.namedData[`scale_${name}`] = value.scales!;
		return { ...value, key: name };
	}

	private sum(a: number, b: number): number {
		const [sum] = this.program.delegate([a, b], (g, [a, b]) => [
			g.node("add", [a!, b!], X),
		]);
		return sum!;
	}

	/** Heads of a projection, [1, S, heads, d], rotated or not. */
	private heads(x: number, heads: number, isRotary: boolean): number {
		const { program } = this;
		const split = program.call(
			"aten::view_copy.out",
			[x],
			[1, ROWS, heads, SIZE],
		);
		const moved = (x: number, shape: readonly number[]) =>
			program.call("aten::permute_copy.out", [x], shape);
		const shape = [1, heads, ROWS, SIZE];
		const turned = moved(split, shape);
		const rotated = isRotary ? this.rotated(turned, shape) : turned;
		return this.options.headsFirst
			? rotated
			: moved(rotated, [1, ROWS, heads, SIZE]);
	}

	private rotated(x: number, shape: readonly number[]): number {
		const { program, options } = this;
		const angles = [1, 1, ROWS, SIZE];
		const [cos, sin] = [program.tensor(angles), program.tensor(angles)];
		const width = options.rotation === "pairs" ? 2 : SIZE / 2;
		const [rotated] = program.delegate([x, cos, sin], (g, [x, cos, sin]) => {
			const part = [...shape.slice(0, -1), width];
			const [a, b] = [g.node("slice", [x!], part), g.node("slice", [x!], part)];
			const turned = g.node(
				"concatenate",
				[g.node("negate", [b], part), a],
				shape,
			);
			const straight = g.node("multiply", [x!, cos!], shape);
			const across = g.node("multiply", [turned, sin!], shape);
			return [g.node("add", [straight, across], shape)];
		});
		return rotated!;
	}

	/** All keys or values, those of the step written among them. */
	private cached(x: number): number {
		const { program } = this;
		const cache = program.tensor(
			this.options.headsFirst ? [1, K, CACHE, SIZE] : [1, CACHE, K, SIZE],
		);
		program.call("llama::update_cache.out", [x, cache, this.position], [1]);
		return cache;
	}
}

const plain = (
	shape: readonly number[],
	data: Uint8Array,
): WriteXnnpackValue => ({ datatype: F32.xnnpack, shape, data });

/** A matrix as XNNPACK's graphs have it: int4 with bf16 scales per group, or int8 with f32 scales per row. */
function xnnpackWeights(q: StoredAs): WriteXnnpackValue {
	const { shape, codes, scales, block, bits } = q;
	if (bits === 8)
		return {
			...{ datatype: QCINT8, shape },
			data: bytesOf(codes),
			scales: bytesOf(scales),
		};
	const data = new Uint8Array(codes.length / 2);
	for (const [i, code] of codes.entries())
		data[i >> 1]! |= (code + 8) << (4 * (i & 1));
	return {
		...{ datatype: QBINT4, shape, data },
		groupSize: block,
		scales: bytesOf(Uint16Array.from(scales, bfloat16Bits)),
	};
}

/** The upper four bits of each code; an even column's are in the high half of a byte. */
function highEven(codes: Int8Array): Uint8Array {
	const data = new Uint8Array(codes.length / 2);
	for (const [i, code] of codes.entries())
		data[i >> 1]! |= ((code >> 4) + 8) << (i % 2 === 0 ? 4 : 0);
	return data;
}
