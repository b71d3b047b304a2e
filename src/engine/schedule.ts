import { fuse } from "./fuse.ts";
import type { Graph } from "./graph.ts";
import { parameterNames } from "./kernels.ts";
import { SCRATCH_BYTES } from "./layouts.ts";
import type {
	Buffer,
	Cache,
	Operand,
	RecordedCall,
	Tensor,
} from "./operands.ts";
import type {
	Argument,
	Call,
	Instruction,
	Program,
	Register,
} from "./program.ts";

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

/**
 * Groups neighbouring calls that do not depend on each other: one barrier serves them all. What a call of `own` writes
 * every part has for itself before it goes on, so nobody waits for it.
 */
export function groupIndependent(
	calls: readonly RecordedCall[],
	own: ReadonlySet<RecordedCall> = new Set(),
): RecordedCall[][] {
	const groups: RecordedCall[][] = [];
	const ownBuffers = new Set([...own].flatMap((call) => call.writes));
	let touched = new Set<Buffer | Cache>();
	let written = new Set<Buffer | Cache>();
	for (const call of calls) {
		const operands = reads(call).filter((o) => !ownBuffers.has(o));
		const writes = own.has(call) ? [] : call.writes;
		const depends =
			operands.some((o) => written.has(o)) ||
			writes.some((o) => touched.has(o));
		if (depends || groups.length === 0) {
			groups.push([]);
			touched = new Set();
			written = new Set();
		}
		groups.at(-1)!.push(call);
		for (const operand of operands) touched.add(operand);
		for (const operand of writes) {
			touched.add(operand);
			written.add(operand);
		}
	}
	return groups;
}

/** Kernels that do a row in some microseconds, which is about as long as parts take to wait for each other. */
const ROW_KERNELS = /^(rmsnorm|layernorm|quantize|swiglu|geglu)_/;

/**
 * Finds the calls that every part does for itself, and groups the rest around them. Their results must be read in the
 * same group only: a part that comes late may find that the inputs are gone, but then nothing is left for it to do.
 */
function replicate(
	calls: readonly RecordedCall[],
	results: readonly Buffer[],
): { groups: RecordedCall[][]; own: Set<RecordedCall> } {
	const uses = (buffer: Buffer | Cache) =>
		calls.filter((call) => reads(call).includes(buffer));
	const own = new Set(
		calls.filter(({ kernel, bank, writes: [y], args }) => {
			const inPlace = Object.values(args).filter((o) => o === y).length > 1;
			return (
				ROW_KERNELS.test(kernel) &&
				!inPlace &&
				!results.includes(y as Buffer) &&
				// A copy into another bank takes one address for all parts.
				uses(y!).every((use) => use.bank === bank)
			);
		}),
	);
	for (;;) {
		const groups = groupIndependent(calls, own);
		const groupOf = new Map(
			groups.flatMap((group) => group.map((call) => [call, group] as const)),
		);
		const strays = [...own].filter((call) =>
			uses(call.writes[0]!).some(
				(use) => groupOf.get(use) !== groupOf.get(call),
			),
		);
		if (strays.length === 0) return { groups, own };
		for (const stray of strays) own.delete(stray);
	}
}

/** First and last group in which a buffer is alive. */
interface Life {
	readonly first: number;
	last: number;
}

function lifetimes(
	groups: readonly (readonly RecordedCall[])[],
	results: readonly Buffer[],
): Map<Buffer, Life> {
	const written = new Set(groups.flat().flatMap((call) => call.writes));
	const lives = new Map<Buffer, Life>();
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
	return lives;
}

/** Where a buffer lies in its bank's arena, relative to the arena's start. */
interface Placement {
	readonly offsets: ReadonlyMap<Buffer, number>;
	/** Arena size per bank. */
	readonly bytes: readonly number[];
}

/** Gives buffers room in one arena per bank; buffers that are never alive in the same group may share it. */
function placeBuffers(
	lives: readonly (readonly [Buffer, Life])[],
	banks: number,
	capacity: Places["capacity"],
): Placement {
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
	/** Whether steps have so few rows that parts compute what goes row by row each for itself. @default false */
	readonly few?: boolean;
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
	const { banks, capacity } = places;
	const wanted = results.map((r) => r.buffer);
	const calls = fuse(graph.calls);
	const { groups, own } = places.few
		? replicate(calls, wanted)
		: { groups: groupIndependent(calls), own: new Set<RecordedCall>() };
	const lives = [...lifetimes(groups, wanted)];
	const ownBuffers = new Set([...own].flatMap((call) => call.writes));
	const shared = placeBuffers(
		lives.filter(([buffer]) => !ownBuffers.has(buffer)),
		banks,
		capacity,
	);
	// What parts have for themselves lies behind their scratch memory.
	const owned = placeBuffers(
		lives.filter(([buffer]) => ownBuffers.has(buffer)),
		banks,
		capacity,
	);
	const scratchBytes = SCRATCH_BYTES + Math.max(...owned.bytes);
	const arenas = shared.bytes.map((size, bank) =>
		places.allocate(bank, size, "activations"),
	);
	const scratch = arenas.map((_, bank) =>
		places.allocate(bank, scratchBytes * places.parts, "scratch memory"),
	);
	const address = (buffer: Buffer): Argument =>
		ownBuffers.has(buffer)
			? { own: SCRATCH_BYTES + owned.offsets.get(buffer)! }
			: sharedAddress(buffer);
	const sharedAddress = (buffer: Buffer) =>
		arenas[buffer.bank]! + shared.offsets.get(buffer)!;

	const argument = (name: string, call: RecordedCall): Argument => {
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
				...(own.has(call) && { own: true }),
			};
		}),
	}));
	return {
		program: { instructions, scratch, scratchBytes },
		addresses: wanted.map(sharedAddress),
	};
}
