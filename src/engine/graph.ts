import { UnsupportedError } from "../errors.ts";
import { recordAttention, recordFullAttention } from "./attention.ts";
import type { KernelName } from "./kernels.ts";
import {
	type CacheType,
	type LayoutInfo,
	layouts,
	TILE_ROWS,
} from "./layouts.ts";
import {
	type AttentionOptions,
	type Cache,
	type Dim,
	type Linear,
	type Norm,
	O,
	type Operand,
	type RecordedCall,
	type Rope,
	T,
	type Tensor,
	type Weight,
} from "./operands.ts";
import { Recorder, widthOf } from "./recorder.ts";
import { elements, perRow, tensor } from "./tensors.ts";

/** Ranges of element-wise kernels start at whole cache lines. */
const LINE_ELEMENTS = 16;

/** The vocabulary of model files. Every call records kernel calls; nothing runs until the program does. */
export class Graph {
	readonly caches = new Map<number, Cache>();
	readonly cacheType: CacheType;
	/** Where rows may stand in for embeddings: their bank and size. */
	soft: { readonly bank: number; readonly d: number } | undefined;
	readonly #segments: number;
	readonly #recorder = new Recorder();

	/**
	 * @param segments for a program that only runs steps of few rows: into how many segments the context is cut, so that
	 * several parts can share the keys of one row. The results have the same bits either way.
	 */
	constructor(cacheType: CacheType = "f32", segments = 0) {
		this.cacheType = cacheType;
		this.#segments = segments;
	}

	/** What was recorded, in order. */
	get calls(): readonly RecordedCall[] {
		return this.#recorder.calls;
	}

	/** The rotary settings in use. */
	ropes(): Rope[] {
		return this.#recorder.ropes();
	}

	/** [T, D]: rows that the host writes before each step. */
	input(d: number): Tensor {
		return tensor([T, d], 0);
	}

	/** [T] → [T, D]: rows of the table by the step's tokens, or by number of row, times `scale`. */
	embed(table: Weight, scale = 1, by: "token" | "rowNumber" = "token"): Tensor {
		const k = table.shape[1]!;
		const d = widthOf(table);
		const y = tensor([T, d], table.bank);
		this.#recorder.recordAny(
			layout(table).embed,
			y.buffer,
			{
				y: y.buffer,
				tokens: { table: by },
				w: table,
				d,
				n: table.shape[0]!,
				block: table.block,
				...table.format,
				scale,
			},
			perRow(y.buffer),
		);
		return { shape: [T, k], buffer: this.#recorder.scatter(y.buffer, table) };
	}

	/** [T, D] → [T, D]: puts rows of the host's (soft tokens) in the place of embeddings. Use only the result afterwards. */
	replaceSoft(x: Tensor): Tensor {
		const { bank } = x.buffer;
		const d = elements(x.shape);
		this.soft = { bank, d };
		this.#recorder.record(
			"gather_f32",
			x.buffer,
			{
				y: x.buffer,
				x: { table: "softRows" },
				index: { table: "soft" },
				d,
			},
			perRow(x.buffer),
		);
		return x;
	}

	/** [T, K] → [T, N]: x·wᵀ + bias. */
	linear(x: Tensor, { weight: w, bias }: Linear): Tensor {
		const n = w.shape[0]!;
		const k = widthOf(w);
		const { gemm, activation } = layout(w);
		const input = this.#recorder.gather(
			this.#recorder.into(x.buffer, w.bank),
			w,
		);
		const y = tensor([x.shape[0]!, n], w.bank);
		this.#recorder.recordAny(
			gemm,
			y.buffer,
			{
				y: y.buffer,
				x: this.#recorder.activation(input, activation, k, w.input),
				w,
				bias: bias ?? 0,
				residual: 0,
				rows: x.buffer.register,
				n,
				k,
				block: w.block,
				...w.format,
				scratch: "scratch",
			},
			n,
			TILE_ROWS,
		);
		return y;
	}

	/** x / √(mean(x²) + eps) · w over the last dimension. */
	rmsNorm(x: Tensor, w: Weight, eps: number): Tensor {
		const d = w.shape[0]!;
		const y = tensor(x.shape, w.bank);
		const perRowTimes = elements(x.shape) / d;
		this.#recorder.record(
			"rmsnorm_f32",
			y.buffer,
			{
				y: y.buffer,
				x: this.#recorder.into(x.buffer, w.bank),
				w,
				d,
				eps,
			},
			perRow(x.buffer, perRowTimes),
		);
		return y;
	}

	/** (x − mean) / √(variance + eps) · weight + bias over the last dimension. */
	layerNorm(x: Tensor, { weight, bias }: Norm, eps: number): Tensor {
		const y = tensor(x.shape, weight.bank);
		this.#recorder.record(
			"layernorm_f32",
			y.buffer,
			{
				y: y.buffer,
				x: this.#recorder.into(x.buffer, weight.bank),
				w: weight,
				b: bias,
				d: weight.shape[0]!,
				eps,
			},
			perRow(x.buffer),
		);
		return y;
	}

	/** [T, n·d] → [T, n, d]: a view, no call. */
	heads(x: Tensor, n: number): Tensor {
		return { shape: [x.shape[0]!, n, elements(x.shape) / n], buffer: x.buffer };
	}

	/** [T, n, d] → [T, n, d]: rotates halves (i, i + d/2) by position. Works in place: use only the result afterwards. */
	rope(x: Tensor, rope: Rope): Tensor {
		const [, n, d] = x.shape as [Dim, number, number];
		this.#recorder.record(
			"rope_f32",
			x.buffer,
			{
				x: x.buffer,
				cos_sin: this.#recorder.rotations(rope, x.buffer.bank),
				heads: n,
				d,
			},
			perRow(x.buffer, n),
		);
		return x;
	}

	/** q [T, H, d], k and v [T, K, d] → [T, H·d]: appends k, v to the cache, then softmax(q·kᵀ·scale)·v over it. */
	attention(
		q: Tensor,
		k: Tensor,
		v: Tensor,
		options: AttentionOptions,
	): Tensor {
		const { y, cache } = recordAttention(
			this.#recorder,
			{ type: this.cacheType, segments: this.#segments },
			[q, k, v],
			options,
		);
		this.caches.set(cache.index, cache);
		return y;
	}

	/** q, k and v [T, H, d] → [T, H·d]: softmax(q·kᵀ/√d)·v, every row of the step seeing every row. */
	attentionFull(q: Tensor, k: Tensor, v: Tensor): Tensor {
		return recordFullAttention(this.#recorder, q, k, v);
	}

	/** [T, D] → [O, D]: the step's rows are a grid of `grid` · `grid`; means of its squares of `by` · `by`. */
	averagePool(x: Tensor, grid: number, by: number): Tensor {
		const d = elements(x.shape);
		const y = tensor([O, d], x.buffer.bank);
		this.#recorder.record(
			"pool_f32",
			y.buffer,
			{ y: y.buffer, x: x.buffer, grid, by, d },
			perRow(y.buffer),
		);
		return y;
	}

	/** gelu_tanh(x). */
	gelu(x: Tensor): Tensor {
		return this.#elementwise("gelu_f32", { x });
	}

	/** silu(gate) · up. */
	swiglu(gate: Tensor, up: Tensor): Tensor {
		return this.#elementwise("swiglu_f32", { gate, up });
	}

	/** gelu_tanh(gate) · up. */
	geglu(gate: Tensor, up: Tensor): Tensor {
		return this.#elementwise("geglu_f32", { gate, up });
	}

	add(a: Tensor, b: Tensor): Tensor {
		return this.#elementwise("add_f32", { a, b });
	}

	/** [T, D] → [O, D]: the rows whose logits are wanted. */
	outputs(x: Tensor): Tensor {
		const d = elements(x.shape);
		const y = tensor([O, d], x.buffer.bank);
		this.#recorder.record(
			"gather_f32",
			y.buffer,
			{
				y: y.buffer,
				x: x.buffer,
				index: { table: "output" },
				d,
			},
			perRow(y.buffer),
		);
		return y;
	}

	#elementwise(kernel: KernelName, inputs: Record<string, Tensor>): Tensor {
		const tensors = Object.values(inputs);
		const last = tensors.at(-1)!;
		const { bank } = last.buffer;
		const y = tensor(last.shape, bank);
		const args: Record<string, Operand> = { y: y.buffer };
		for (const [name, x] of Object.entries(inputs))
			args[name] = this.#recorder.into(x.buffer, bank);
		this.#recorder.recordAny(
			kernel,
			y.buffer,
			args,
			perRow(y.buffer, elements(y.shape)),
			LINE_ELEMENTS,
		);
		return y;
	}
}

function layout(w: Weight): LayoutInfo {
	const info = (layouts as Record<string, LayoutInfo>)[w.layout];
	if (info === undefined)
		throw new UnsupportedError(`${w.name}: no kernel reads layout ${w.layout}`);
	return info;
}
