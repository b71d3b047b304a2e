import { afterAll, describe, expect, test } from "vitest";
import { NibbleError, SourceError } from "../src/errors.ts";
import { generator } from "./mutate.ts";

/** What is damaged, and what reads it. */
export interface Sample {
	readonly name: string;
	/** Makes a damaged input, and returns what tries to read it. */
	damage(
		random: (below: number) => number,
	): Promise<() => Promise<unknown>> | (() => Promise<unknown>);
	/** Share of the rounds, where they take longer than those of others. @default 1 */
	readonly share?: number;
	/** Share of damaged inputs that can be read all the same: damage that never or always matters would test nothing. */
	readonly read?: readonly [least: number, most: number];
	/** Whether damage may lead to files that are not there. */
	readonly leadsElsewhere?: boolean;
}

const MOST_MILLISECONDS = 2000;

/**
 * Damages each sample so many times: whatever comes of it is read or is a NibbleError, in time. Prints how many there were.
 * @param seed of the damage
 */
export function surviveDamage(
	what: string,
	samples: readonly Sample[],
	rounds: number,
	seed = 0x5eed,
): void {
	describe(what, () => {
		let damaged = 0;
		let read = 0;
		afterAll(() => printCount(what, damaged, read));

		test.each(samples)("$name", async (sample) => {
			const { damage, share = 1, read: [least, most] = [0, 1] } = sample;
			const random = generator(seed);
			const own = Math.ceil(rounds * share);
			let ownRead = 0;
			for (let round = 0; round < own; round++) {
				const attempt = await damage(random);
				const start = performance.now();
				const outcome = await outcomeOf(attempt);
				const took = performance.now() - start;
				const which = `round ${round}: ${outcome}`;
				expect(took, which).toBeLessThan(MOST_MILLISECONDS);
				if (outcome === undefined) ownRead++;
				else if (!isAllowed(outcome, sample))
					throw new Error(which, { cause: outcome });
			}
			damaged += own;
			read += ownRead;
			expect(ownRead).toBeGreaterThanOrEqual(own * least);
			expect(ownRead).toBeLessThanOrEqual(own * most);
		});
	});
}

/** Undefined, or the error that it ends with. */
async function outcomeOf(attempt: () => Promise<unknown>): Promise<unknown> {
	try {
		await attempt();
		return undefined;
	} catch (error) {
		return error ?? new Error("undefined was thrown");
	}
}

const isAllowed = (error: unknown, { leadsElsewhere = false }: Sample) =>
	error instanceof NibbleError &&
	(leadsElsewhere || !(error instanceof SourceError));

/** Says how many damaged inputs a file of tests has tried. */
export function printCount(what: string, damaged: number, read?: number): void {
	const rest = read === undefined ? "" : `, ${read} of them read all the same`;
	console.log(`${what}: ${damaged} damaged inputs${rest}`);
}
