import { Graph } from "./graph.ts";
import type { Memory } from "./memory.ts";
import type { Tensor } from "./operands.ts";
import type { Program, Step } from "./program.ts";
import { type Places, schedule } from "./schedule.ts";

/** A program from rows of numbers to soft tokens: all of an image at once. */
export interface Encoder {
	/** Rows that go in. */
	readonly rows: number;
	/** Rows that come out. */
	readonly outputs: number;
	/** Called once. `input` is f32[rows, K], `output` f32[outputs, D]. */
	readonly record: (graph: Graph) => { input: Tensor; output: Tensor };
}

/** An encoder with addresses. */
export interface ScheduledEncoder {
	readonly program: Program;
	readonly step: Step;
	/** Puts the input in its place. */
	write(input: Float32Array): void;
	/** A copy of the output. */
	read(): Float32Array;
}

export function scheduleEncoder(
	{ record, rows, outputs }: Encoder,
	memories: readonly Memory[],
	places: Omit<Places, "capacity">,
): ScheduledEncoder {
	const graph = new Graph();
	const { input, output } = record(graph);
	const step = { rows, outputs };
	const { program, addresses } = schedule(graph, [input, output], {
		...places,
		capacity: step,
	});
	// Made anew each time: memory that grows takes its views away.
	const view = ({ buffer }: Tensor, address: number) =>
		memories[buffer.bank]!.f32(
			address,
			(step[buffer.register] * buffer.rowBytes) / 4,
		);
	const [from, to] = addresses as [number, number];
	return {
		program,
		step,
		write: (values) => view(input, from).set(values),
		read: () => view(output, to).slice(),
	};
}
