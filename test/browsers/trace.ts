import type { Page } from "./chromium.ts";

/** An entry of Chromium's trace. Times in microseconds. */
interface TraceEvent {
	readonly name: string;
	readonly ph: string;
	readonly pid: number;
	readonly tid: number;
	readonly dur?: number;
	/** Time that the thread was given a processor for. */
	readonly tdur?: number;
	readonly args?: { readonly name?: string };
}

/** Tasks of the threads on which pages run, while something happens. */
export interface Tasks {
	readonly tasks: number;
	/** Processor time of the longest one: on a busy machine a task may last longer without doing anything. */
	readonly longestMs: number;
}

/** Traces a page while `work` is done. */
export async function mainThreadTasks(
	page: Page,
	work: () => Promise<unknown>,
): Promise<Tasks> {
	const events: TraceEvent[] = [];
	page.on("Tracing.dataCollected", ({ value }) => {
		events.push(...(value as TraceEvent[]));
	});
	const complete = new Promise<void>((resolve) =>
		page.on("Tracing.tracingComplete", () => resolve()),
	);
	await page.send("Tracing.start", {
		traceConfig: { includedCategories: ["toplevel", "devtools.timeline"] },
	});
	await work();
	await page.send("Tracing.end");
	await complete;
	const threads = new Set(
		events
			.filter(
				({ name, args }) =>
					name === "thread_name" && args?.name === "CrRendererMain",
			)
			.map(({ pid, tid }) => `${pid} ${tid}`),
	);
	const tasks = events.filter(
		({ name, pid, tid, dur }) =>
			name.endsWith("RunTask") &&
			dur !== undefined &&
			threads.has(`${pid} ${tid}`),
	);
	return {
		tasks: tasks.length,
		longestMs: Math.max(0, ...tasks.map((t) => (t.tdur ?? t.dur!) / 1000)),
	};
}
