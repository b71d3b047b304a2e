import { expect, it } from "vitest";
import { EngineError } from "../src/errors.ts";
import { checkFits, fitsInto } from "../src/fits.ts";

const GIB = 2 ** 30;

it("lets pass what fits, and what nobody can tell", () => {
	checkFits("m", 2 * GIB, GIB, 3 * GIB);
	checkFits("m", 200 * GIB, 100 * GIB, undefined);
});

it("counts what else a model takes, but at least what every model does", () => {
	expect(fitsInto(3 * GIB, 2 * GIB, 0.9 * GIB)).toBe(true);
	expect(fitsInto(3 * GIB, 2 * GIB, 1.1 * GIB)).toBe(false);
	expect(fitsInto(3 * GIB, 2.8 * GIB, 0)).toBe(false);
	expect(() => checkFits("m", 2.8 * GIB, GIB, 3 * GIB)).toThrow(EngineError);
	expect(fitsInto(undefined, 2 * GIB, GIB)).toBeUndefined();
});

it("says how much is needed, what there is and what would fit", () => {
	const refused = (free: number) => () =>
		checkFits("m", 6 * GIB, 3 * GIB, free);
	expect(refused(4 * GIB)).toThrow(EngineError);
	expect(refused(4 * GIB)).toThrow(
		"m: needs 6.3 GiB of memory, 4.0 GiB are free; as Q8_0 it would need 3.5 GiB",
	);
	expect(refused(2.2 * GIB)).toThrow("as Q4_K_M it would need 2.1 GiB");
	expect(refused(1 * GIB)).toThrow("no common way to store it is small enough");
});
