import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compileKernels } from "../src/engine/kernels.ts";
import { chooseTarget } from "../src/engine/probe.ts";

const relaxed = Uint8Array.from(readFileSync("build/relaxed.wasm"));
const knowsRelaxed = WebAssembly.validate(relaxed);

/** The build with every `from` instruction replaced by another one with the same operands and result. */
function patched(from: readonly number[], to: readonly number[]): Uint8Array {
	const bytes = relaxed.slice();
	let count = 0;
	for (let i = 0; i + 2 < bytes.length; i++) {
		if (!from.every((byte, j) => bytes[i + j] === byte)) continue;
		bytes.set(to, i);
		count++;
	}
	expect(count).toBeGreaterThan(0);
	return bytes;
}

const choose = (bytes: Uint8Array) =>
	chooseTarget(
		async () => compileKernels(Uint8Array.from(bytes), false),
		false,
	);

test.runIf(knowsRelaxed)("relaxed where it gives known answers", async () => {
	expect(await choose(relaxed)).toBe("relaxed");
});

test.runIf(knowsRelaxed)("simd where a relaxed dot is wrong", async () => {
	// i16x8.relaxed_dot_i8x16_i7x16_s computed as i16x8.mul, i32x4.relaxed_dot_i8x16_i7x16_add_s as f32x4.relaxed_madd.
	const narrow = patched([0xfd, 0x92, 0x02], [0xfd, 0x95, 0x01]);
	const wide = patched([0xfd, 0x93, 0x02], [0xfd, 0x85, 0x02]);
	const found = [await choose(narrow), await choose(wide)];
	// A machine uses one of the two; without the other nothing is lost.
	expect(found).toContain("simd");
});

test("simd where the module is not valid or cannot be had", async () => {
	expect(await choose(Uint8Array.of(0, 97, 115, 109, 9, 9, 9, 9))).toBe("simd");
	const unreachable = () => Promise.reject(new Error("no network"));
	expect(await chooseTarget(unreachable, false)).toBe("simd");
});
