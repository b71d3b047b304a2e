// ExecuTorch programs (.pte): what is in them, for people who look. They are programs for another runtime;
// pte-checkpoint.ts says why no model is loaded from one.
//
//   0  u32 offset of the root table   4  "ET12"
//   8  "eh00"   12  u32 header bytes   16  u64 program bytes   24  u64 segment base   32  u64 segment bytes
//   the flatbuffer "Program", then segments: constants and what delegates need
// Source: pytorch/executorch's published schema.
import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import { readFlatbuffer, type Table } from "./flatbuffer.ts";
import { readXnnpack, type XnnpackGraph } from "./pte-xnnpack.ts";

/** Bytes [offset, offset + bytes) of the file. */
export interface Extent {
	readonly offset: number;
	readonly bytes: number;
}

export interface Pte {
	readonly name: string;
	readonly bytes: number;
	readonly version: number;
	/** Values of the methods that only return one: get_max_seq_len, get_eos_ids, … */
	readonly metadata: Readonly<Record<string, PteLiteral>>;
	/** The other methods: "forward", "vision_encoder", … */
	readonly plans: readonly PtePlan[];
	/** Data that delegates find by name. */
	readonly namedData: ReadonlyMap<string, Extent>;
}

export type PteLiteral = null | boolean | number | bigint | string;

export interface PtePlan {
	readonly name: string;
	/** Operators that the runtime itself computes: "llama::custom_sdpa.out". */
	readonly operators: readonly string[];
	readonly tensors: readonly PteTensor[];
	readonly inputs: readonly PteTensor[];
	readonly outputs: readonly PteTensor[];
	readonly delegates: readonly PteDelegate[];
}

export interface PteTensor {
	/** Fully qualified name, where the file has one: it has for mutable and external tensors. */
	readonly name: string | undefined;
	/** "F32", "I8", …; "?" with a number for types that checkpoints do not have. */
	readonly type: string;
	readonly shape: readonly number[];
	/** Its dimensions as they lie in memory, outermost first; 0, 1, 2, … for row-major. */
	readonly dimOrder: readonly number[];
	/** Its values, where they are constant. */
	readonly constant: Extent | undefined;
}

export interface PteDelegate {
	/** "XnnpackBackend", "CoreMLBackend", … */
	readonly id: string;
	readonly bytes: number;
	/** Undefined for backends whose data is opaque. */
	readonly xnnpack: XnnpackGraph | undefined;
}

/** Without weights, which lie in segments, programs take a few megabytes. */
const MAX_PROGRAM_BYTES = 1 << 28;
const TENSOR = 5;
const SCALAR_TYPES = new Map([
	[0, "U8"],
	[1, "I8"],
	[2, "I16"],
	[3, "I32"],
	[4, "I64"],
	[5, "F16"],
	[6, "F32"],
	[7, "F64"],
	[11, "BOOL"],
	[15, "BF16"],
]);

/** Whether a file that begins with these bytes is an ExecuTorch program. */
export function isPte(head: Uint8Array): boolean {
	return new TextDecoder().decode(head.subarray(4, 8)) === "ET12";
}

/** Reads a program's description. Throws CheckpointError where it is damaged. */
export async function readPte(source: ByteSource): Promise<Pte> {
	const { name, size } = source;
	const head = await source.read(0, Math.min(40, size));
	if (!isPte(head)) {
		throw new CheckpointError(`${name}: no ExecuTorch program of version 12`);
	}
	const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
	const extended =
		size >= 40 && new TextDecoder().decode(head.subarray(8, 12)) === "eh00";
	const programBytes = extended ? Number(view.getBigUint64(16, true)) : size;
	const base = extended ? Number(view.getBigUint64(24, true)) : size;
	if (programBytes > Math.min(size, MAX_PROGRAM_BYTES) || base > size) {
		throw new CheckpointError(
			`${name}: a program of ${programBytes} bytes and segments from ${base} on are announced, the file has ${size}`,
		);
	}
	const program = await source.read(0, programBytes);
	const parsed = readFlatbuffer(program, name, (root) =>
		readProgram(root, base, size, name),
	);
	// Methods may share a delegate, but what they read together is at most the file.
	const graphs = new Map<number, XnnpackGraph>();
	let delegateBytes = 0;
	const plans: PtePlan[] = [];
	for (const { delegates, ...plan } of parsed.plans) {
		const opened: PteDelegate[] = [];
		for (const { id, data } of delegates) {
			let xnnpack = graphs.get(data.offset);
			if (id === "XnnpackBackend" && xnnpack === undefined) {
				delegateBytes += data.bytes;
				if (delegateBytes > size) {
					throw new CheckpointError(
						`${name}: delegates take ${delegateBytes} bytes, the file has ${size}`,
					);
				}
				xnnpack = await readXnnpack(source, data, parsed.namedData);
				graphs.set(data.offset, xnnpack);
			}
			opened.push({ id, bytes: data.bytes, xnnpack });
		}
		plans.push({ ...plan, delegates: opened });
	}
	return { name, bytes: size, ...parsed, plans };
}

function readProgram(root: Table, base: number, size: number, file: string) {
	const inside = (offset: number, bytes: number, what: string): Extent => {
		if (!(offset + bytes <= size)) {
			throw new CheckpointError(
				`${file}: ${what} takes ${bytes} bytes at ${offset}, the file has ${size}`,
			);
		}
		return { offset, bytes };
	};
	const segments = root
		.tables(4)
		.map((t, i) => inside(base + t.u64(0), t.u64(1), `segment ${i}`));
	const segment = (index: number, what: string): Extent => {
		const found = segments[index];
		if (found) return found;
		throw new CheckpointError(
			`${file}: ${what} is in segment ${index} of ${segments.length}`,
		);
	};
	const constants = root.table(5);
	const constantOffsets = constants?.u64s(1) ?? [];
	const constantSegment = constantOffsets.length
		? segment(constants?.u32(0) ?? 0, "the constants")
		: undefined;
	const sorted = constantOffsets.toSorted((a, b) => a - b);
	const ends = new Map(sorted.map((start, i) => [start, sorted[i + 1]]));
	const constant = (index: number): Extent | undefined => {
		const start = constantOffsets[index];
		if (index === 0 || start === undefined || !constantSegment)
			return undefined;
		const end = ends.get(start) ?? constantSegment.bytes;
		if (start <= end && end <= constantSegment.bytes) {
			return { offset: constantSegment.offset + start, bytes: end - start };
		}
		throw new CheckpointError(
			`${file}: constant ${index} is at ${start} of ${constantSegment.bytes} bytes`,
		);
	};
	const inline = root.tables(3).map((t) => {
		return t.extent(0, 1) ?? { offset: 0, bytes: 0 };
	});
	const namedData = new Map(
		root.tables(7).map((t): [string, Extent] => {
			const key = t.string(0) ?? "";
			return [key, segment(t.u32(1), `named data ${key}`)];
		}),
	);

	const metadata: Record<string, PteLiteral> = {};
	const plans = [];
	for (const plan of root.tables(1)) {
		const name = plan.string(0) ?? "";
		const values = plan.tables(2);
		const outputs = plan.i32s(4);
		const operators = plan.tables(6).map((t) => {
			const overload = t.string(1);
			return (t.string(0) ?? "") + (overload ? `.${overload}` : "");
		});
		const delegates = plan.tables(7).map((t) => {
			const id = t.string(0) ?? "";
			const place = t.table(1);
			const index = place?.u32(1) ?? 0;
			const data = place?.u8(0) === 1 ? segment(index, id) : inline[index];
			if (data) return { id, data };
			throw new CheckpointError(`${file}: ${name} has no data for its ${id}`);
		});
		const only = outputs.length === 1 ? values[outputs[0]!] : undefined;
		const value = only && literal(only);
		if (value !== undefined && operators.length + delegates.length === 0) {
			Object.defineProperty(metadata, name, { value, enumerable: true });
			continue;
		}
		const tensorOf = (value: Table | undefined): PteTensor | undefined => {
			if (value?.u8(0) !== TENSOR) return undefined;
			const tensor = value.table(1);
			if (tensor === undefined) return undefined;
			const type = tensor.i8(0);
			return {
				name: tensor.table(9)?.string(1),
				type: SCALAR_TYPES.get(type) ?? `?${type}`,
				shape: tensor.i32s(2),
				dimOrder: tensor.u8s(3),
				constant: constant(tensor.u32(5)),
			};
		};
		const tensors = values.map(tensorOf);
		const pick = (indices: readonly number[]) =>
			indices.map((i) => tensors[i]).filter((t) => t !== undefined);
		plans.push({
			name,
			operators,
			delegates,
			tensors: tensors.filter((t) => t !== undefined),
			inputs: pick(plan.i32s(3)),
			outputs: pick(outputs),
		});
	}
	return { version: root.u32(0), metadata, plans, namedData };
}

/** A value that is no tensor and no list; undefined for those. */
function literal(value: Table): PteLiteral | undefined {
	const content = value.table(1);
	switch (value.u8(0)) {
		case 1:
			return null;
		case 2:
			return content?.i64(0) ?? 0;
		case 3:
			return content?.u8(0) === 1;
		case 4:
			return content?.f64(0) ?? 0;
		case 6:
			return content?.string(0) ?? "";
		default:
			return undefined;
	}
}
