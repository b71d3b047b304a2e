import type { Sharing } from "./runner.ts";

/** Indices into the control block: i32 values in memory that all parts and the host share. */
export const CONTROL = {
	/** Number of the step that parts should run; the host adds 1 to start one. */
	step: 0,
	program: 1,
	rows: 2,
	outputs: 3,
	arrived: 4,
	/** Number of barriers passed. */
	phase: 5,
	/** Parts that sleep in a barrier instead of spinning. */
	sleepers: 6,
	/** Not 0 once a part has failed or the host wants the step abandoned: parts leave at their next barrier. */
	failed: 7,
	/** Parts that are through with the running step. */
	finished: 8,
	/** First of the range counters, one per call. */
	counters: 16,
} as const;

/** The step number that asks parts to leave for good. */
export const LEAVE = -1;

/** A core is kept busy waiting for at most this long: waking a sleeping thread costs about 50 µs. */
const SPIN_MILLISECONDS = 0.3;
const CHECKS_PER_CLOCK_READING = 64;
/** Thrown out of a barrier when another part has failed: the part that knows why reports it. */
export class Abandoned extends Error {}

const pause: (() => void) | undefined = (
	Atomics as typeof Atomics & { pause?: () => void }
).pause;

/**
 * Waits until control[index] differs from `value`: spins first, then sleeps until notified. Returns the new value.
 * While asleep it is counted in control[sleepers], so that whoever changes the value knows whether to notify.
 */
export function waitForChange(
	control: Int32Array,
	index: number,
	value: number,
	sleepers?: number,
): number {
	const start = performance.now();
	for (let checks = 1; ; checks++) {
		const now = Atomics.load(control, index);
		if (now !== value) return now;
		pause?.();
		if (
			checks % CHECKS_PER_CLOCK_READING === 0 &&
			performance.now() - start > SPIN_MILLISECONDS
		)
			break;
	}
	if (sleepers !== undefined) Atomics.add(control, sleepers, 1);
	for (;;) {
		Atomics.wait(control, index, value);
		const now = Atomics.load(control, index);
		if (now === value) continue;
		if (sleepers !== undefined) Atomics.sub(control, sleepers, 1);
		return now;
	}
}

/** Sharing between `parts` threads through the control block. */
export function shareThrough(control: Int32Array, parts: number): Sharing {
	const { counters, arrived, phase, sleepers, failed } = CONTROL;
	return {
		take(call, size, units) {
			if (Atomics.load(control, counters + call) >= units) return -1;
			const lo = Atomics.add(control, counters + call, size);
			return lo < units ? lo : -1;
		},
		barrier() {
			// Read before looking at `failed`: whoever fails sets `failed` first and changes the phase after.
			const before = Atomics.load(control, phase);
			if (Atomics.load(control, failed) !== 0) throw new Abandoned();
			if (Atomics.add(control, arrived, 1) === parts - 1) {
				Atomics.store(control, arrived, 0);
				Atomics.add(control, phase, 1);
				if (Atomics.load(control, sleepers) > 0) Atomics.notify(control, phase);
			} else {
				waitForChange(control, phase, before, sleepers);
			}
			if (Atomics.load(control, failed) !== 0) throw new Abandoned();
		},
	};
}

/** Makes every part leave the running step at its next barrier, or at once where it waits in one. */
export function abandon(control: Int32Array): void {
	Atomics.store(control, CONTROL.failed, 1);
	Atomics.add(control, CONTROL.phase, 1);
	Atomics.notify(control, CONTROL.phase);
}
