import type { Sharing } from "./runner.ts";

/** Indices into the control block: i32 values in memory that all parts and the host share. */
export const CONTROL = {
	/** Number of the step that parts should run; the host adds 1 to start one. */
	step: 0,
	program: 1,
	rows: 2,
	outputs: 3,
	/** Parts that sleep until an instruction is over, instead of spinning. */
	sleepers: 4,
	/** Not 0 once a part has failed: the others leave when they next wait. */
	failed: 5,
	/** Parts that are through with the running step. */
	finished: 6,
	/** First of the counters that a step starts with at 0: units done per instruction, then ranges handed out per call. */
	counters: 16,
} as const;

/** The step number that asks parts to leave for good. */
export const LEAVE = -1;

/** A core is kept busy waiting for at most this long: waking a sleeping thread costs about 50 µs. */
const SPIN_MILLISECONDS = 0.3;
const CHECKS_PER_CLOCK_READING = 64;
/** A sleeper looks this often whether another part has failed. */
const LONGEST_SLEEP_MILLISECONDS = 100;
/** Thrown out of a wait when another part has failed: the part that knows why reports it. */
export class Abandoned extends Error {}

const pause: (() => void) | undefined = (
	Atomics as typeof Atomics & { pause?: () => void }
).pause;

/** Spins for a while, as long as `isOver` says no; returns its last answer. */
function spin(isOver: () => boolean): boolean {
	const start = performance.now();
	for (let checks = 1; ; checks++) {
		if (isOver()) return true;
		pause?.();
		if (
			checks % CHECKS_PER_CLOCK_READING === 0 &&
			performance.now() - start > SPIN_MILLISECONDS
		)
			return false;
	}
}

/** Waits for the host to start a step other than `before`: spins first, then sleeps. Returns its number. */
export function waitForStep(control: Int32Array, before: number): number {
	const now = () => Atomics.load(control, CONTROL.step);
	if (!spin(() => now() !== before))
		while (now() === before) Atomics.wait(control, CONTROL.step, before);
	return now();
}

/** Sharing between threads through the control block, for programs of at most `instructions` instructions. */
export function shareThrough(
	control: Int32Array,
	instructions: number,
): Sharing {
	const done = CONTROL.counters;
	const taken = CONTROL.counters + instructions;
	const { sleepers, failed } = CONTROL;
	const check = () => {
		if (Atomics.load(control, failed) !== 0) throw new Abandoned();
	};
	return {
		take(call, size, units) {
			if (Atomics.load(control, taken + call) >= units) return -1;
			const lo = Atomics.add(control, taken + call, size);
			return lo < units ? lo : -1;
		},
		finish(instruction, units, total) {
			const at = done + instruction;
			const isLast = Atomics.add(control, at, units) + units === total;
			if (isLast && Atomics.load(control, sleepers) > 0)
				Atomics.notify(control, at);
		},
		wait(instruction, total) {
			const at = done + instruction;
			const isOver = () => Atomics.load(control, at) === total;
			if (isOver()) return;
			if (!spin(() => isOver() || Atomics.load(control, failed) !== 0)) {
				// Counted before looking again: whoever finishes either sees the sleeper or is seen.
				Atomics.add(control, sleepers, 1);
				for (;;) {
					const now = Atomics.load(control, at);
					if (now === total || Atomics.load(control, failed) !== 0) break;
					Atomics.wait(control, at, now, LONGEST_SLEEP_MILLISECONDS);
				}
				Atomics.sub(control, sleepers, 1);
			}
			check();
		},
	};
}

/** Makes every part leave the running step the next time it waits. */
export function abandon(control: Int32Array): void {
	Atomics.store(control, CONTROL.failed, 1);
}
