import { expect, test } from "vitest";
import { CheckpointError } from "../src/errors.ts";
import { codePlane } from "../src/quant/code-plane.ts";
import { storedBytes } from "./fixture.ts";

const ROWS = 3;
const ROW_BYTES = 37;

/** What a plane of codes says of these bytes, read to an address that is no multiple of a word. */
async function read(bytes: Int8Array, bits: number, offset: number) {
	const tensor = storedBytes(
		"w",
		"I8",
		[ROWS, ROW_BYTES],
		new Uint8Array(bytes),
	);
	const into = new Uint8Array(ROWS * ROW_BYTES + 8).subarray(offset);
	return codePlane(tensor, ROWS, bits).read(0, ROWS, into);
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
	"int%i: what fits is read, the first that does not is named",
	async (bits) => {
		const half = 2 ** (bits - 1);
		const fitting = Int8Array.from(
			{ length: ROWS * ROW_BYTES },
			(_, i) => (i % (2 * half)) - half,
		);
		for (let offset = 0; offset < 4; offset++) {
			const copy = await read(fitting, bits, offset);
			expect(new Int8Array(copy)).toEqual(fitting);
		}
		for (let code = -128; code < 128; code++) {
			if (code >= -half && code < half) continue;
			// At every place, whatever lies around it: each of a word's four, before the first and behind the last word.
			const at = (code + 128) % fitting.length;
			const codes = fitting.with(at, code);
			const error = await read(codes, bits, code & 3).catch((e) => e);
			expect(error).toBeInstanceOf(CheckpointError);
			expect(error.message).toBe(
				`made: element ${at} of w is ${code}, expected int${bits}, −${half} to ${half - 1}`,
			);
		}
	},
);

test("elements are counted from the start of the tensor", async () => {
	const codes = new Int8Array(ROWS * ROW_BYTES).fill(8, ROWS * ROW_BYTES - 1);
	const tensor = storedBytes(
		"w",
		"I8",
		[ROWS, ROW_BYTES],
		new Uint8Array(codes),
	);
	const plane = codePlane(tensor, ROWS, 4);
	await expect(plane.read(2, 3)).rejects.toThrow("element 110 of w is 8");
	expect(await plane.read(0, 2)).toEqual(new Uint8Array(2 * ROW_BYTES));
});
