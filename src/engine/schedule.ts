import { fuse } from "./fuse.ts";
import type {
	Buffer,
	Cache,
	Graph,
	Operand,
	RecordedCall,
	Tensor,
} from "./graph.ts";
import { parameterNames } from "./kernels.ts";
import { SCRATCH_BYTES } from "./layouts.ts";
import type { Call, Instruction, Program, Register } from "./program.ts";

/** Parameter order of `copy`, which is no kernel. */
const COPY_PARAMETERS = ["to", "fromBank", "from", "rowBytes"];
const ALIGNMENT = 64;

const isBuffer = (operand: Operand): operand is Buffer =>
	typeof operand === "object" && "rowBytes" in operand;
const isCache = (operand: Operand): operand is Cache =>
	typeof operand === "object" && "kvHeads" in operand;

const reads = (call: RecordedCall): (Buffer | Cache)[] =>
	Object.values(call.args).filter(
		(operand) => isBuffer(operand) || isCache(operand),
	);

/** Groups neighbouring calls that do not depend on each other: one barrier serves them all. */
export function groupIndependent(
	calls: readonly RecordedCall[],
): RecordedCall[][] {
	const groups: RecordedCall[][] = [];
	let touched = new Set<Buffer | Cache>();
	let written = new Set<Buffer | Cache>();
	for (const call of calls) {
		const operands = reads(call);
		const depends =
			operands.some((o) => written.has(o)) ||
			call.writes.some((o) => touched.has(o));
		if (depends || groups.length === 0) {
			groups.push([]);
			touched = new Set();
			written = new Set();
		}
		groups.at(-1)!.push(call);
		for (const operand of operands) touched.add(operand);
		for (const operand of call.writes) {
			touched.add(operand);
			written.add(operand);
		}
	}
	return groups;
}

/** Where a buffer lies in its bank's arena, relative to the arena's start. */
export interface Placement {
	readonly offsets: ReadonlyMap<Buffer, number>;
	/** Arena size per bank. */
	readonly bytes: readonly number[];
}

/** Gives buffers room in one arena per bank; buffers that are never alive in the same group may share it. */
export function placeBuffers(
	groups: readonly (readonly RecordedCall[])[],
	results: readonly Buffer[],
	banks: number,
	capacity: Readonly<Record<"rows" | "outputs", number>>,
): Placement {
	const written = new Set(groups.flat().flatMap((call) => call.writes));
	const lives = new Map<Buffer, { first: number; last: number }>();
	for (const [index, group] of groups.entries())
		for (const call of group)
			for (const buffer of reads(call).filter(isBuffer)) {
				const life = lives.get(buffer);
				if (life) life.last = index;
				// What no call writes is the host's, from before the first.
				else
					lives.set(buffer, {
						first: written.has(buffer) ? index : 0,
						last: index,
					});
			}
	for (const result of results) lives.get(result)!.last = groups.length;

	const offsets = new Map<Buffer, number>();
	const bytes = new Array<number>(banks).fill(0);
	const size = (b: Buffer) =>
		Math.ceil((b.rowBytes * capacity[b.register]) / ALIGNMENT) * ALIGNMENT;
	const placed: {
		bank: number;
		first: number;
		last: number;
		from: number;
		to: number;
	}[] = [];
	const bySize = [...lives].sort(([a], [b]) => size(b) - size(a));
	for (const [buffer, { first, last }] of bySize) {
		const { bank } = buffer;
		const rivals = placed
			.filter((p) => p.bank === bank && p.first <= last && first <= p.last)
			.sort((a, b) => a.from - b.from);
		let from = 0;
		for (const rival of rivals) {
			if (from + size(buffer) <= rival.from) break;
			from = Math.max(from, rival.to);
		}
		const to = from + size(buffer);
		placed.push({ bank, first, last, from, to });
		offsets.set(buffer, from);
		bytes[bank] = Math.max(bytes[bank]!, to);
	}
	return { offsets, bytes };
}

export interface Places {
	/** Parts that may run the program, each with scratch memory of its own. */
	readonly parts: number;
	readonly banks: number;
	readonly capacity: Readonly<Record<"rows" | "outputs", number>>;
	/** Fresh memory in a bank. */
	allocate(bank: number, bytes: number, what: string): number;
	/** The number that stands for an operand other than a buffer, in a call of bank `bank`. */
	resolve(
		operand: Exclude<Operand, Buffer | Register | number>,
		bank: number,
	): number;
	/** Numbers of the page tables, which a call asks for by parameter name. */
	readonly pages: Readonly<Record<string, number>>;
}

/** Turns a recording into a program: fuses, groups, gives addresses. Returns it with the addresses of `results`. */
export function schedule(
	graph: Graph,
	results: readonly Tensor[],
	places: Places,
): { program: Program; addresses: number[] } {
	const groups = groupIndependent(fuse(graph.calls));
	const { offsets, bytes } = placeBuffers(
		groups,
		results.map((r) => r.buffer),
		places.banks,
		places.capacity,
	);
	const arenas = bytes.map((size, bank) =>
		places.allocate(bank, size, "activations"),
	);
	const scratch = bytes.map((_, bank) =>
		places.allocate(bank, SCRATCH_BYTES * places.parts, "scratch memory"),
	);
	const address = (buffer: Buffer) =>
		arenas[buffer.bank]! + offsets.get(buffer)!;

	const argument = (name: string, call: RecordedCall): number | Register => {
		const operand = places.pages[name] ?? call.args[name];
		if (operand === undefined)
			throw new Error(`${call.kernel}: no operand for its parameter ${name}`);
		if (typeof operand !== "object") return operand;
		return isBuffer(operand)
			? address(operand)
			: places.resolve(operand, call.bank);
	};
	const instructions: Instruction[] = groups.map((group) => ({
		calls: group.map((call): Call => {
			const { kernel, bank, units, grain } = call;
			const names =
				kernel === "copy" ? COPY_PARAMETERS : parameterNames(kernel);
			return {
				kernel,
				bank,
				units,
				grain,
				args: names.map((name) => argument(name, call)),
			};
		}),
	}));
	return {
		program: { instructions, scratch, scratchBytes: SCRATCH_BYTES },
		addresses: results.map((r) => address(r.buffer)),
	};
}
