import type { Args, KernelName } from "./kernels.ts";
import { activations } from "./layouts.ts";
import type {
	Buffer,
	Cache,
	Columns,
	Operand,
	Operands,
	Place,
	RecordedCall,
	Rope,
	Weight,
} from "./operands.ts";
import type { Units } from "./program.ts";
import { perRow } from "./tensors.ts";

/** Kernel calls in the order in which they were recorded, and what several of them share: each is computed once. */
export class Recorder {
	readonly calls: RecordedCall[] = [];
	#copies = new Map<Buffer, Map<number, Buffer>>();
	#gathered = new Map<Buffer, Map<Int32Array | number, Buffer>>();
	#quantized = new Map<Buffer, Map<string, Buffer>>();
	#cosSin = new Map<Rope, Map<number, Buffer>>();

	/** The rotary settings in use. */
	ropes(): Rope[] {
		return [...this.#cosSin.keys()];
	}

	/** A call of a kernel known by name, checked against its declaration. */
	record<K extends KernelName>(
		kernel: K,
		y: Buffer | Cache,
		args: Args<K, Operands & Record<string, unknown>>,
		units: Units,
		grain = 1,
	): void {
		this.recordAny(kernel, y, args as Record<string, Operand>, units, grain);
	}

	/** A call of a kernel chosen by a layout: `args` holds what any of its family may ask for. */
	recordAny(
		kernel: KernelName | "copy",
		y: Buffer | Cache,
		args: Record<string, Operand>,
		units: Units,
		grain = 1,
	): void {
		this.calls.push({ kernel, bank: y.bank, args, writes: [y], units, grain });
	}

	/** The rows in bank `bank`: copied there the first time they are asked for. */
	into(x: Buffer, bank: number): Buffer {
		if (x.bank === bank) return x;
		return remember(this.#copies, x, bank, () => {
			const y: Buffer = { ...x, bank };
			const args = { to: y, fromBank: x.bank, from: x, rowBytes: x.rowBytes };
			this.recordAny("copy", y, args, perRow(x));
			return y;
		});
	}

	/** The input with its columns as the weight's kernels see them: gathered the first time a weight asks, and shared by all that have the same. */
	gather(x: Buffer, w: Weight): Buffer {
		const { columns, gaps } = w;
		const key = columns?.values ?? gaps?.block;
		if (key === undefined) return x;
		return remember(this.#gathered, x, key, () => {
			const d = w.shape[1]!;
			const k = widthOf(w);
			const { bank, register } = x;
			const y: Buffer = { bank, register, rowBytes: 4 * k };
			if (columns) {
				const args = { y, x, columns: columnsOf(w, columns), k, d };
				this.record("gather_columns_f32", y, args, perRow(x));
			} else if (gaps)
				this.record("spread_blocks_f32", y, { y, x, d, ...gaps }, perRow(x));
			return y;
		});
	}

	/** The inverse: columns as the weight's kernels write them, in the order of the matrix. */
	scatter(x: Buffer, w: Weight): Buffer {
		const { columns, gaps } = w;
		if (!columns && !gaps) return x;
		const d = w.shape[1]!;
		const y: Buffer = { ...x, rowBytes: 4 * d };
		if (columns) {
			const k = widthOf(w);
			const args = { y, x, columns: columnsOf(w, columns), k, d };
			this.record("scatter_columns_f32", y, args, perRow(x));
		} else if (gaps)
			this.record("join_blocks_f32", y, { y, x, d, ...gaps }, perRow(x));
		return y;
	}

	/** The input of a matrix kernel: quantized the first time a layer asks, and shared by all that read the same rows. */
	activation(
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
			if (given) {
				const { scale: s, zero: z } = given;
				this.record("quantize_static_f32_qd8", y, { y, x, k, s, z }, perRow(x));
			} else this.recordAny(quantize, y, { y, x, k }, perRow(x));
			return y;
		});
	}

	/** Cosines and sines of the step's positions, computed once per bank and shared by all layers. */
	rotations(rope: Rope, bank: number): Buffer {
		return remember(this.#cosSin, rope, bank, () => {
			const y: Buffer = { bank, register: "rows", rowBytes: 4 * rope.d };
			this.record(
				"rope_table_f32",
				y,
				{
					cos_sin: y,
					position: { table: "position" },
					inv_freq: { table: "frequencies", rope },
					half: rope.d / 2,
					attention_factor: rope.attentionFactor,
				},
				perRow(y),
			);
			return y;
		});
	}
}

/** Columns of a weight as its kernels see them. */
export function widthOf({ shape, columns, gaps }: Weight): number {
	const k = shape[1]!;
	return columns?.values.length ?? (gaps ? (k / gaps.block) * gaps.wide : k);
}

/** Where a weight keeps the places of its columns. */
function columnsOf(weight: Weight, { offset }: Columns): Place {
	return {
		get address() {
			return weight.address + offset;
		},
	};
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
