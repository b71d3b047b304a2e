import { UnsupportedError } from "../errors.ts";
import type { Args, KernelName } from "./kernels.ts";
import {
	ATTENTION_FULL_TILE,
	ATTENTION_MAX_GROUP,
	ATTENTION_MAX_HEAD,
	ATTENTION_PARTIAL_TILE,
	ATTENTION_TILE,
	activations,
	type CacheType,
	type LayoutInfo,
	layouts,
	TILE_ROWS,
} from "./layouts.ts";
import {
	type AttentionOptions,
	type Buffer,
	type Cache,
	type Columns,
	type Dim,
	type Linear,
	type Norm,
	O,
	type Operand,
	type Operands,
	type Place,
	type RecordedCall,
	type Rope,
	T,
	type Tensor,
	type Weight,
} from "./operands.ts";
import type { Units } from "./program.ts";

const perRow = (tensor: Tensor, times = 1): Units => ({
	register: tensor.buffer.register,
	per: 1,
	times,
});

/** Ranges of element-wise kernels start at whole cache lines. */
const LINE_ELEMENTS = 16;

/** The vocabulary of model files. Every call records kernel calls; nothing runs until the program does. */
export class Graph {
	readonly calls: RecordedCall[] = [];
	readonly caches = new Map<number, Cache>();
	readonly cacheType: CacheType;
	/** Where rows may stand in for embeddings: their bank and size. */
	soft: { readonly bank: number; readonly d: number } | undefined;
	readonly #segments: number;
	#copies = new Map<Buffer, Map<number, Buffer>>();
	#gathered = new Map<Buffer, Map<Int32Array, Buffer>>();
	#quantized = new Map<Buffer, Map<string, Buffer>>();
	#cosSin = new Map<Rope, Map<number, Buffer>>();

	/**
	 * @param segments for a program that only runs steps of few rows: into how many segments the context is cut, so that
	 * several parts can share the keys of one row. The results have the same bits either way.
	 */
	constructor(cacheType: CacheType = "f32", segments = 0) {
		this.cacheType = cacheType;
		this.#segments = segments;
	}

	/** The rotary settings in use. */
	ropes(): Rope[] {
		return [...this.#cosSin.keys()];
	}

	/** [T, D]: rows that the host writes before each step. */
	input(d: number): Tensor {
		return tensor([T, d], 0);
	}

	/** [T] → [T, D]: rows of the table by the step's tokens, or by number of row, times `scale`. */
	embed(table: Weight, scale = 1, by: "token" | "rowNumber" = "token"): Tensor {
		const k = table.shape[1]!;
		const d = table.columns?.values.length ?? k;
		const y = tensor([T, d], table.bank);
		this.#recordAny(
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
			perRow(y),
		);
		if (!table.columns) return y;
		const inOrder = tensor([T, k], table.bank);
		this.#record(
			"scatter_columns_f32",
			inOrder.buffer,
			{
				y: inOrder.buffer,
				x: y.buffer,
				columns: columnsOf(table, table.columns),
				k: d,
				d: k,
			},
			perRow(y),
		);
		return inOrder;
	}

	/** [T, D] → [T, D]: puts rows of the host's (soft tokens) in the place of embeddings. Use only the result afterwards. */
	replaceSoft(x: Tensor): Tensor {
		const { bank } = x.buffer;
		const d = elements(x.shape);
		this.soft = { bank, d };
		this.#record(
			"gather_f32",
			x.buffer,
			{
				y: x.buffer,
				x: { table: "softRows" },
				index: { table: "soft" },
				d,
			},
			perRow(x),
		);
		return x;
	}

	/** [T, K] → [T, N]: x·wᵀ + bias. */
	linear(x: Tensor, { weight: w, bias }: Linear): Tensor {
		const n = w.shape[0]!;
		const k = w.columns?.values.length ?? w.shape[1]!;
		const { gemm, activation } = layout(w);
		const input = this.#gather(this.#into(x.buffer, w.bank), w);
		const y = tensor([x.shape[0]!, n], w.bank);
		this.#recordAny(
			gemm,
			y.buffer,
			{
				y: y.buffer,
				x: this.#activation(input, activation, k, w.input),
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
		this.#record(
			"rmsnorm_f32",
			y.buffer,
			{
				y: y.buffer,
				x: this.#into(x.buffer, w.bank),
				w,
				d,
				eps,
			},
			perRow(x, perRowTimes),
		);
		return y;
	}

	/** (x − mean) / √(variance + eps) · weight + bias over the last dimension. */
	layerNorm(x: Tensor, { weight, bias }: Norm, eps: number): Tensor {
		const y = tensor(x.shape, weight.bank);
		this.#record(
			"layernorm_f32",
			y.buffer,
			{
				y: y.buffer,
				x: this.#into(x.buffer, weight.bank),
				w: weight,
				b: bias,
				d: weight.shape[0]!,
				eps,
			},
			perRow(x),
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
		this.#record(
			"rope_f32",
			x.buffer,
			{
				x: x.buffer,
				cos_sin: this.#rotations(rope, x.buffer.bank),
				heads: n,
				d,
			},
			perRow(x, n),
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
		const [, heads, d] = q.shape as [Dim, number, number];
		const kvHeads = k.shape[1] as number;
		if (d > ATTENTION_MAX_HEAD)
			throw new UnsupportedError(
				`heads of ${d} elements, expected at most ${ATTENTION_MAX_HEAD}`,
			);
		if (heads % kvHeads !== 0 || heads > kvHeads * ATTENTION_MAX_GROUP)
			throw new UnsupportedError(
				`${heads} query heads on ${kvHeads} kv heads, expected a multiple of them up to ${ATTENTION_MAX_GROUP} times as many`,
			);
		const { bank } = k.buffer;
		const window = options.window ?? 0;
		const cache: Cache = { index: options.cache, bank, kvHeads, d, window };
		this.caches.set(options.cache, cache);
		const pages = {
			kv: cache,
			table: { table: "pages", window },
			sequence: { table: "sequence" },
			position: { table: "position" },
			kv_heads: kvHeads,
			d,
			pages: 0,
			page_bytes: 0,
		} as const;
		this.#record(
			`kv_write_${this.cacheType}`,
			cache,
			{
				...pages,
				k: k.buffer,
				v: this.#into(v.buffer, bank),
			},
			perRow(k, kvHeads),
		);
		const y = tensor([T, heads * d], bank);
		const seen = {
			...pages,
			q: this.#into(q.buffer, bank),
			last: { table: "last" },
			rows: "rows",
			heads,
			scale: options.scale ?? 1 / Math.sqrt(d),
			window,
			scratch: "scratch",
		} as const;
		const tiles = (rows: number, times: number): Units => ({
			register: "rows",
			per: rows,
			times: kvHeads * times,
		});
		if (this.#segments === 0) {
			this.#record(
				`attention_${this.cacheType}`,
				y.buffer,
				{ ...seen, y: y.buffer },
				tiles(ATTENTION_TILE, 1),
			);
			return y;
		}
		const segments = this.#segments;
		const partial: Buffer = {
			bank,
			register: "rows",
			rowBytes: heads * segments * partialBytes(d),
		};
		this.#record(
			`attention_partial_${this.cacheType}`,
			partial,
			{ ...seen, partial, segments },
			tiles(ATTENTION_PARTIAL_TILE, segments),
		);
		this.#record(
			"attention_merge_f32",
			y.buffer,
			{
				y: y.buffer,
				partial,
				position: { table: "position" },
				last: { table: "last" },
				heads,
				d,
				window,
				segments,
				scratch: "scratch",
			},
			perRow(y, heads),
		);
		return y;
	}

	/** q, k and v [T, H, d] → [T, H·d]: softmax(q·kᵀ/√d)·v, every row of the step seeing every row. */
	attentionFull(q: Tensor, k: Tensor, v: Tensor): Tensor {
		const [, heads, d] = q.shape as [Dim, number, number];
		if (d > ATTENTION_MAX_HEAD)
			throw new UnsupportedError(
				`heads of ${d} elements, expected at most ${ATTENTION_MAX_HEAD}`,
			);
		const { bank } = k.buffer;
		const y = tensor([T, heads * d], bank);
		this.#record(
			"attention_full_f32",
			y.buffer,
			{
				y: y.buffer,
				q: this.#into(q.buffer, bank),
				k: k.buffer,
				v: this.#into(v.buffer, bank),
				rows: "rows",
				heads,
				d,
				scale: 1 / Math.sqrt(d),
				scratch: "scratch",
			},
			{ register: "rows", per: ATTENTION_FULL_TILE, times: heads },
		);
		return y;
	}

	/** [T, D] → [O, D]: the step's rows are a grid of `grid` · `grid`; means of its squares of `by` · `by`. */
	averagePool(x: Tensor, grid: number, by: number): Tensor {
		const d = elements(x.shape);
		const y = tensor([O, d], x.buffer.bank);
		this.#record(
			"pool_f32",
			y.buffer,
			{ y: y.buffer, x: x.buffer, grid, by, d },
			perRow(y),
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
		this.#record(
			"gather_f32",
			y.buffer,
			{
				y: y.buffer,
				x: x.buffer,
				index: { table: "output" },
				d,
			},
			perRow(y),
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
			args[name] = this.#into(x.buffer, bank);
		this.#recordAny(
			kernel,
			y.buffer,
			args,
			perRow(y, elements(y.shape)),
			LINE_ELEMENTS,
		);
		return y;
	}

	/** A call of a kernel known by name, checked against its declaration. */
	#record<K extends KernelName>(
		kernel: K,
		y: Buffer | Cache,
		args: Args<K, Operands & Record<string, unknown>>,
		units: Units,
		grain = 1,
	): void {
		this.#recordAny(kernel, y, args as Record<string, Operand>, units, grain);
	}

	/** A call of a kernel chosen by a layout: `args` holds what any of its family may ask for. */
	#recordAny(
		kernel: KernelName | "copy",
		y: Buffer | Cache,
		args: Record<string, Operand>,
		units: Units,
		grain = 1,
	): void {
		this.calls.push({ kernel, bank: y.bank, args, writes: [y], units, grain });
	}

	/** The rows in bank `bank`: copied there the first time they are asked for. */
	#into(x: Buffer, bank: number): Buffer {
		if (x.bank === bank) return x;
		return remember(this.#copies, x, bank, () => {
			const y: Buffer = { ...x, bank };
			const args = { to: y, fromBank: x.bank, from: x, rowBytes: x.rowBytes };
			this.#recordAny("copy", y, args, {
				register: x.register,
				per: 1,
				times: 1,
			});
			return y;
		});
	}

	/** The input with its columns as the weight has them: gathered the first time a weight asks, and shared by all that have the same. */
	#gather(x: Buffer, w: Weight): Buffer {
		const { columns } = w;
		if (!columns) return x;
		return remember(this.#gathered, x, columns.values, () => {
			const k = columns.values.length;
			const { bank, register } = x;
			const y: Buffer = { bank, register, rowBytes: 4 * k };
			this.#record(
				"gather_columns_f32",
				y,
				{ y, x, columns: columnsOf(w, columns), k, d: w.shape[1]! },
				{ register, per: 1, times: 1 },
			);
			return y;
		});
	}

	/** The input of a matrix kernel: quantized the first time a layer asks, and shared by all that read the same rows. */
	#activation(
		x: Buffer,
		name: string,
		k: number,
		given: Weight["input"],
	): Buffer {
		const { quantize, rowBytes } =
			activations[name as keyof typeof activations];
		if (quantize === undefined) return x;
		const key = given ? `${name} ${given.scale} ${given.zero}` : name;
		return remember(this.#quantized, x, key, () => {
			const y: Buffer = {
				bank: x.bank,
				register: x.register,
				rowBytes: rowBytes(k),
			};
			const units: Units = { register: x.register, per: 1, times: 1 };
			if (given) {
				const { scale: s, zero: z } = given;
				this.#record("quantize_static_f32_qd8", y, { y, x, k, s, z }, units);
			} else this.#recordAny(quantize, y, { y, x, k }, units);
			return y;
		});
	}

	/** Cosines and sines of the step's positions, computed once per bank and shared by all layers. */
	#rotations(rope: Rope, bank: number): Buffer {
		return remember(this.#cosSin, rope, bank, () => {
			const y: Buffer = { bank, register: "rows", rowBytes: 4 * rope.d };
			this.#record(
				"rope_table_f32",
				y,
				{
					cos_sin: y,
					position: { table: "position" },
					inv_freq: { table: "frequencies", rope },
					half: rope.d / 2,
					attention_factor: rope.attentionFactor,
				},
				{ register: "rows", per: 1, times: 1 },
			);
			return y;
		});
	}
}

/** Bytes of one row's, head's and segment's share of a softmax: maximum, sum, two unused and the weighted values. */
const partialBytes = (d: number): number => 4 * (4 + Math.ceil(d / 16) * 16);

/** Elements per row: the product of all dimensions but the first. */
const elements = (shape: readonly Dim[]): number =>
	shape.slice(1).reduce<number>((n, dim) => n * (dim as number), 1);

function tensor(shape: readonly Dim[], bank: number): Tensor {
	const register = shape[0] === O ? "outputs" : "rows";
	return { shape, buffer: { bank, register, rowBytes: 4 * elements(shape) } };
}

function columnsOf(weight: Weight, { offset }: Columns): Place {
	return {
		get address() {
			return weight.address + offset;
		},
	};
}

function layout(w: Weight): LayoutInfo {
	const info = (layouts as Record<string, LayoutInfo>)[w.layout];
	if (info === undefined)
		throw new UnsupportedError(`${w.name}: no kernel reads layout ${w.layout}`);
	return info;
}

function remember<A, B, V>(
	map: Map<A, Map<B, V>>,
	a: A,
	b: B,
	make: () => V,
): V {
	const inner = map.get(a) ?? new Map<B, V>();
	map.set(a, inner);
	const value = inner.get(b) ?? make();
	inner.set(b, value);
	return value;
}
