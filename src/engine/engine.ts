import { type Encoder, scheduleEncoder } from "./encoder.ts";
import type { Graph } from "./graph.ts";
import { type CacheType, PAGE_POSITIONS, pageBytes } from "./layouts.ts";
import type { Memory } from "./memory.ts";
import type { Operand, Rope, Table, Tensor } from "./operands.ts";
import { PAGE_UNIT_BYTES, PagePool, Sequence } from "./pages.ts";
import type { Pool } from "./pool.ts";
import { createTimings, readProfile, type StepProfile } from "./profile.ts";
import type { Program, Step } from "./program.ts";
import { recordSteps } from "./recordings.ts";
import { columns, type Feed, softRows, tabulate } from "./rows.ts";
import { schedule } from "./schedule.ts";

/** Bounds of one step; activation memory is proportional to them. */
export interface Limits {
	/** Rows in one step. */
	readonly rows: number;
	/** Rows in one step whose logits are wanted. */
	readonly outputs: number;
	/** Sequences in one step. */
	readonly sequences: number;
	/** Positions in one sequence. */
	readonly contextTokens: number;
}

export type { Encoder } from "./encoder.ts";
export type { Feed, Span } from "./rows.ts";

export interface EngineOptions {
	/** What runs the steps over `memories`; the engine stops it. */
	readonly pool: Pool;
	/** Banks, with the weights in place. */
	readonly memories: readonly Memory[];
	/** Records the forward pass; returns the logits, f32[outputs, V]. Called once per program. */
	readonly record: (graph: Graph) => Tensor;
	/** How keys and values are kept. @default "f32" */
	readonly cache?: CacheType | undefined;
	readonly limits: Limits;
	/** A second program, for models that read more than text. */
	readonly encoder?: Encoder | undefined;
	/** Called after each step with where its time went. */
	readonly onProfile?: ((profile: StepProfile) => void) | undefined;
}

/** A model in memory: takes tokens, returns logits. Knows nothing of text, formats or model families. */
export interface Engine {
	readonly limits: Limits;
	/** For any step; where there are such, for steps of few rows, and the encoder. */
	readonly programs: readonly Program[];
	readonly parts: number;
	createSequence(): Sequence;
	/**
	 * Runs one step: appends each feed's tokens to its sequence. Resolves to what `take` makes of the logits, f32[V] per
	 * wanted row, in order. They lie in the engine's own memory, where the next step writes, so `take` keeps copies or
	 * nothing. One step at a time. Rejects with ContextError, with EngineError, after which the engine is dead, or with
	 * what `take` throws.
	 */
	step<Taken>(
		feeds: readonly Feed[],
		take: (logits: readonly Float32Array[]) => Taken,
	): Promise<Taken>;
	/**
	 * Runs the encoder: f32[rows, K] → f32[outputs, D], the caller's. Not while a step runs. Undefined where there is none.
	 * Rejects with EngineError, after which the engine is dead.
	 */
	readonly encode: ((input: Float32Array) => Promise<Float32Array>) | undefined;
	stop(): Promise<void>;
}

type FlatTable = Exclude<Table["table"], "pages" | "frequencies">;

/** Addresses of the tables that a step reads, in one bank; 0 where it is not needed there. */
type BankTables = Readonly<Record<FlatTable, number>> & {
	readonly pages: ReadonlyMap<number, number>;
	readonly frequencies: ReadonlyMap<Rope, number>;
};

export async function createEngine(options: EngineOptions): Promise<Engine> {
	const { memories, limits, pool } = options;
	const { parts } = pool;
	const recordings = recordSteps({ ...options, parts });
	const { graph: first, logits } = recordings[0]!;
	const { offsets, pools } = layOutCaches(first, memories);
	const pagesPerSequence = Math.ceil(limits.contextTokens / PAGE_POSITIONS);
	const ropes = first.ropes();
	const { soft } = first;
	const tables = memories.map(
		(memory, bank): BankTables => ({
			...allocateTables(memory, limits, pagesPerSequence, pools, ropes),
			softRows:
				soft?.bank === bank
					? memory.allocate(4 * soft.d * limits.rows, "soft tokens")
					: 0,
			rowNumber: options.encoder ? countUp(memory, options.encoder.rows) : 0,
		}),
	);
	const places = {
		parts,
		banks: memories.length,
		allocate: (bank: number, bytes: number, what: string) =>
			memories[bank]!.allocate(bytes, what),
		pages: { pages: pagesPerSequence, page_bytes: PAGE_UNIT_BYTES },
		resolve(
			operand: Exclude<Operand, { rowBytes: number } | string | number>,
			bank: number,
		) {
			if ("address" in operand) return operand.address;
			if ("kvHeads" in operand) return offsets.get(operand.index)!;
			const bankTables = tables[bank]!;
			if (operand.table === "pages")
				return bankTables.pages.get(operand.window)!;
			if (operand.table === "frequencies")
				return bankTables.frequencies.get(operand.rope)!;
			return bankTables[operand.table];
		},
	};
	const scheduled = recordings.map(({ graph, logits, capacity, few }) =>
		schedule(graph, [logits], { ...places, capacity, few }),
	);
	const encoder =
		options.encoder && scheduleEncoder(options.encoder, memories, places);
	const programs = [...scheduled, ...(encoder ? [encoder] : [])].map(
		(s) => s.program,
	);
	const { onProfile } = options;
	const timings = onProfile && createTimings(programs, parts > 1);
	await pool.prepare(programs, timings);
	const vocabulary = logits.shape[1] as number;
	const logitsMemory = memories[logits.buffer.bank]!;

	let ended: number | undefined;
	const report = (program: Program, step: Step, start: number) => {
		if (!timings) return;
		const stepMs = performance.now() - start;
		const betweenMs = ended === undefined ? undefined : start - ended;
		const facts = { ...step, parts, stepMs, betweenMs };
		onProfile?.(readProfile(program, timings, facts));
		ended = performance.now();
	};

	return {
		limits,
		programs,
		parts,
		createSequence: () => new Sequence(pools, limits),
		async step(feeds, take) {
			const start = performance.now();
			for (const { sequence, tokens } of feeds)
				sequence.reserve(sequence.length + tokens.length);
			const rows = tabulate(feeds);
			for (const [bank, memory] of memories.entries()) {
				const at = tables[bank]!;
				for (const name of columns)
					memory.i32(at[name], rows[name].length).set(rows[name]);
				for (const [g, { group }] of pools.entries()) {
					const start = at.pages.get(group.window)!;
					for (const [slot, { sequence }] of feeds.entries())
						sequence.writeTable(
							g,
							bank,
							memory.i32(start + 4 * slot * pagesPerSequence, pagesPerSequence),
						);
				}
				const tokens = Math.max(
					...feeds.map((f) => f.sequence.length + f.tokens.length),
				);
				for (const [rope, address] of at.frequencies)
					if (rope.dynamic)
						memory.f32(address, rope.d / 2).set(rope.frequencies(tokens));
			}
			if (soft)
				for (const { first, rows } of softRows(feeds))
					memories[soft.bank]!.f32(
						tables[soft.bank]!.softRows + 4 * soft.d * first,
						rows.length,
					).set(rows);
			const outputs = rows.output.length;
			const few = recordings[1];
			const program = few && rows.token.length <= few.capacity.rows ? 1 : 0;
			await pool.step(program, { rows: rows.token.length, outputs });
			for (const { sequence, tokens } of feeds)
				sequence.length += tokens.length;
			const at = scheduled[program]!.addresses[0]!;
			report(programs[program]!, { rows: rows.token.length, outputs }, start);
			return take(
				rows.output.map((_, o) =>
					logitsMemory.f32(at + 4 * o * vocabulary, vocabulary),
				),
			);
		},
		encode:
			encoder &&
			(async (input) => {
				const start = performance.now();
				const { step } = encoder;
				encoder.write(input);
				await pool.step(programs.length - 1, step);
				report(encoder.program, step, start);
				return encoder.read();
			}),
		stop: () => pool.stop(),
	};
}

/** i32[n]: 0, 1, 2 … */
function countUp(memory: Memory, n: number): number {
	const address = memory.allocate(4 * n, "row numbers");
	memory.i32(address, n).set(Array.from({ length: n }, (_, i) => i));
	return address;
}

/** Groups layers by window, and gives each layer its offset in the group's pages of its bank. */
function layOutCaches(graph: Graph, memories: readonly Memory[]) {
	const caches = [...graph.caches.values()];
	const offsets = new Map<number, number>();
	const pools = [...new Set(caches.map((c) => c.window))].map((window) => {
		const bankBytes = new Array<number>(memories.length).fill(0);
		for (const cache of caches.filter((c) => c.window === window)) {
			offsets.set(cache.index, bankBytes[cache.bank]!);
			bankBytes[cache.bank]! += pageBytes(
				graph.cacheType,
				cache.kvHeads,
				cache.d,
			);
		}
		return new PagePool({ window, bankBytes }, memories);
	});
	return { offsets, pools };
}

function allocateTables(
	memory: Memory,
	limits: Limits,
	pagesPerSequence: number,
	pools: readonly PagePool[],
	ropes: readonly Rope[],
): Omit<BankTables, "softRows" | "rowNumber"> {
	const table = (elements: number) =>
		memory.allocate(4 * elements, "the row table");
	return {
		token: table(limits.rows),
		position: table(limits.rows),
		sequence: table(limits.rows),
		last: table(limits.rows),
		soft: table(limits.rows),
		output: table(limits.outputs),
		pages: new Map(
			pools.map((p) => [
				p.group.window,
				table(limits.sequences * pagesPerSequence),
			]),
		),
		frequencies: new Map(
			ropes.map((rope) => {
				const address = table(rope.d / 2);
				memory.f32(address, rope.d / 2).set(rope.frequencies(0));
				return [rope, address];
			}),
		),
	};
}
