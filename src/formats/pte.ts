// ExecuTorch programs (.pte): what is in them. They are programs for another runtime; pte-checkpoint.ts says what of a model
// can be had from one.
//
//   0  u32 offset of the root table   4  "ET12"
//   8  "eh00"   12  u32 header bytes   16  u64 program bytes   24  u64 segment base   32  u64 segment bytes
//   the flatbuffer "Program", then segments: constants and what delegates need
// Source: pytorch/executorch's published schema.
import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import { readFlatbuffer, type Table } from "./flatbuffer.ts";
import { type MethodTables, readMethod } from "./pte-method.ts";
import {
	readXnnpack,
	type XnnpackBlob,
	type XnnpackGraph,
} from "./pte-xnnpack.ts";

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
/** Whether a file that begins with these bytes is an ExecuTorch program. */
export function isPte(head: Uint8Array): boolean {
	return new TextDecoder().decode(head.subarray(4, 8)) === "ET12";
}

/** A method with all that running it takes to know: what it calls, and the graphs of its delegates. */
export interface PteMethod extends MethodTables {
	/** Undefined for backends whose data is opaque. */
	readonly graphs: readonly (XnnpackBlob | undefined)[];
}

/** Reads a program's description. Throws CheckpointError where it is damaged. */
export async function readPte(
	source: ByteSource,
): Promise<{ program: Pte; methods: readonly PteMethod[] }> {
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
	const description = await source.read(0, programBytes);
	const parsed = readFlatbuffer(description, name, (root) =>
		readProgram(root, base, size, name),
	);
	// Methods may share a delegate, but what they read together is at most the file.
	const blobs = new Map<number, XnnpackBlob>();
	let delegateBytes = 0;
	const plans: PtePlan[] = [];
	const methods: PteMethod[] = [];
	for (const tables of parsed.methods) {
		const graphs: (XnnpackBlob | undefined)[] = [];
		for (const { id, data } of tables.delegates) {
			let blob = blobs.get(data.offset);
			if (id === "XnnpackBackend" && blob === undefined) {
				delegateBytes += data.bytes;
				if (delegateBytes > size) {
					throw new CheckpointError(
						`${name}: delegates take ${delegateBytes} bytes, the file has ${size}`,
					);
				}
				blob = await readXnnpack(source, data, parsed.namedData);
				blobs.set(data.offset, blob);
			}
			graphs.push(blob);
		}
		methods.push({ ...tables, graphs });
		plans.push(planOf(tables, graphs));
	}
	const { version, metadata, namedData } = parsed;
	const program = { name, bytes: size, version, metadata, plans, namedData };
	return { program, methods };
}

function planOf(
	{ name, operators, values, inputs, outputs, delegates }: MethodTables,
	graphs: readonly (XnnpackBlob | undefined)[],
): PtePlan {
	const tensors = values.map(({ tensor }) => tensor);
	const isTensor = (t: PteTensor | undefined) => t !== undefined;
	const pick = (indices: readonly number[]) =>
		indices.map((i) => tensors[i]).filter(isTensor);
	return {
		name,
		operators,
		tensors: tensors.filter(isTensor),
		inputs: pick(inputs),
		outputs: pick(outputs),
		delegates: delegates.map(({ id, data }, i) => ({
			id,
			bytes: data.bytes,
			xnnpack: graphs[i]?.graph,
		})),
	};
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
	const methods: MethodTables[] = [];
	for (const plan of root.tables(1)) {
		const method = readMethod(plan, file, { constant, segment, inline });
		const { name, values, operators, delegates, outputs } = method;
		const only = outputs.length === 1 ? values[outputs[0]!] : undefined;
		const isConstant =
			only?.literal !== undefined && operators.length + delegates.length === 0;
		if (isConstant)
			Object.defineProperty(metadata, name, {
				value: only.literal,
				enumerable: true,
			});
		else methods.push(method);
	}
	return { version: root.u32(0), metadata, methods, namedData };
}
