import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
	compileKernels,
	instantiateKernels,
	type KernelName,
	type Kernels,
	parameterNames,
} from "../src/engine/kernels.ts";
import { RESERVED_BYTES } from "../src/engine/layouts.ts";
import { signatures } from "../src/engine/signatures.ts";
import type { Entry, Tolerance } from "./reference/entry.ts";
import { reference } from "./reference/index.ts";
import {
	Operands,
	type Output,
	outputBytes,
	readOutput,
	viewOf,
} from "./reference/operands.ts";

const PAGE_BYTES = 65536;
const PARTITIONS = 4;

/** Units [lo, hi). */
type Range = readonly [lo: number, hi: number];

interface Build {
	readonly kernels: Kernels;
	readonly memory: WebAssembly.Memory;
}

/** The compiled module of a target, or why there is none to test. */
function load(target: "simd" | "relaxed"): Build | string {
	const path = `build/${target}.wasm`;
	if (!existsSync(path)) throw new Error(`${path} is missing: npm run build`);
	const bytes = Uint8Array.from(readFileSync(path));
	if (!WebAssembly.validate(bytes))
		return `${process.version} does not know relaxed SIMD`;
	const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
	const kernels = instantiateKernels(compileKernels(bytes, false), memory);
	return { kernels, memory };
}

const builds = { simd: load("simd"), relaxed: load("relaxed") };

/** One call: its operands, the image of memory it starts from, and its size. */
function prepare<K extends KernelName>(kernel: K, name: string) {
	const entry = reference[kernel] as unknown as Entry<K>;
	const operands = new Operands(seedOf(`${kernel} ${name}`));
	const args = entry.cases[name]!(operands);
	const units = entry.units(args, operands.outputs[0]!.count);
	return { entry, operands, args, units, image: operands.image() };
}

type Call<K extends KernelName> = ReturnType<typeof prepare<K>>;

/** Memory after the reference computed [lo, hi). */
function expected<K extends KernelName>(call: Call<K>, [lo, hi]: Range) {
	const after = call.image.slice();
	call.entry.run(call.args, lo, hi, viewOf(after.buffer));
	return after;
}

/** Memory after the kernel computed each range in turn. */
function found<K extends KernelName>(
	{ kernels, memory }: Build,
	kernel: K,
	call: Call<K>,
	ranges: readonly Range[],
): Uint8Array {
	const missing = call.image.length - memory.buffer.byteLength;
	if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
	const bytes = new Uint8Array(memory.buffer, 0, call.image.length);
	// What the module keeps in the reserved start becomes part of what a call must leave as it was.
	call.image.set(bytes.subarray(0, RESERVED_BYTES));
	bytes.set(call.image);
	const values = parameterNames(kernel).map(
		(name) => (call.args as Record<string, number>)[name] as number,
	);
	for (const [lo, hi] of ranges) kernels[kernel](...values, lo, hi);
	return bytes.slice();
}

/** Random ranges that cover [0, units), cut at multiples of grain, in random order. */
function partition(units: number, grain: number, random: () => number) {
	const cuts = new Set([0, units]);
	for (let i = random() * 6; i > 0; i--)
		cuts.add(Math.floor((random() * units) / grain) * grain);
	const bounds = [...cuts].sort((a, b) => a - b);
	return bounds
		.slice(1)
		.map((hi, i) => ({ range: [bounds[i]!, hi] as Range, key: random() }))
		.sort((a, b) => a.key - b.key)
		.map(({ range }) => range);
}

function expectClose(
	actual: Uint8Array,
	wanted: Uint8Array,
	outputs: readonly Output[],
	{ absolute, relative }: Tolerance,
	where: string,
) {
	for (const [o, output] of outputs.entries()) {
		const a = readOutput(actual, output);
		const e = readOutput(wanted, output);
		const limit = (value: number) =>
			output.type === "bytes" ? 0 : absolute + relative * Math.abs(value);
		const wrong = a.findIndex(
			(value, i) =>
				!Object.is(value, e[i]) &&
				value !== e[i] &&
				!(Math.abs(value - e[i]!) <= limit(e[i]!)),
		);
		if (wrong >= 0)
			expect.fail(
				`${where}: output ${o}, element ${wrong} of ${a.length} is ${a[wrong]}, expected ${e[wrong]} ± ${limit(e[wrong]!)}`,
			);
	}
}

function expectUntouched(
	actual: Uint8Array,
	{ image, operands }: Pick<Call<KernelName>, "image" | "operands">,
	where: string,
) {
	const writable = [
		...operands.outputs.map((o) => ({
			address: o.address,
			bytes: outputBytes(o),
		})),
		...operands.scratches,
	].sort((a, b) => a.address - b.address);
	let from = 0;
	for (const { address, bytes } of [
		...writable,
		{ address: image.length, bytes: 0 },
	]) {
		const same = Buffer.compare(
			image.subarray(from, address),
			actual.subarray(from, address),
		);
		if (same !== 0) expect.fail(`${where}: bytes outside the outputs changed`);
		from = address + bytes;
	}
}

function seedOf(text: string): number {
	let hash = 2166136261;
	for (const char of text)
		hash = Math.imul(hash ^ char.charCodeAt(0), 16777619);
	return hash;
}

for (const kernel of Object.keys(signatures) as KernelName[]) {
	describe(kernel, () => {
		const names = Object.keys(reference[kernel]?.cases ?? {});
		test("has a reference and cases", () => {
			expect(names).not.toHaveLength(0);
		});

		for (const [target, build] of Object.entries(builds)) {
			if (typeof build === "string") {
				test.skip(`${target} build (${build})`);
				continue;
			}

			test(`${target}: equals the reference and stays inside its outputs`, () => {
				for (const name of names) {
					const call = prepare(kernel, name);
					const { entry, operands, units } = call;
					const step = entry.grain;
					const lo = Math.floor((operands.random() * units) / step) * step;
					const hi =
						lo + Math.ceil((operands.random() * (units - lo)) / step) * step;
					const ranges: Range[] = [
						[0, units],
						[lo, Math.min(hi, units)],
						[lo, lo],
					];
					for (const range of ranges) {
						const where = `${kernel}, ${name}, units [${range}) of ${units}`;
						const actual = found(build, kernel, call, [range]);
						expectClose(
							actual,
							expected(call, range),
							operands.outputs,
							entry.tolerance,
							where,
						);
						expectUntouched(actual, call, where);
					}
				}
			});

			test(`${target}: any split gives the same bits`, () => {
				for (const name of names) {
					const call = prepare(kernel, name);
					const { entry, operands, units } = call;
					const whole = found(build, kernel, call, [[0, units]]);
					for (let i = 0; i < PARTITIONS; i++) {
						const ranges = partition(units, entry.grain, () =>
							operands.random(),
						);
						const parts = found(build, kernel, call, ranges);
						for (const output of operands.outputs) {
							const end = output.address + outputBytes(output);
							const same = Buffer.compare(
								whole.subarray(output.address, end),
								parts.subarray(output.address, end),
							);
							expect(
								same,
								`${kernel}, ${name}, ranges ${ranges.join(" ")}`,
							).toBe(0);
						}
					}
				}
			});
		}

		const { simd, relaxed } = builds;
		if (typeof simd === "string" || typeof relaxed === "string") return;
		test("relaxed agrees with simd", () => {
			for (const name of names) {
				const call = prepare(kernel, name);
				const all: Range[] = [[0, call.units]];
				expectClose(
					found(relaxed, kernel, call, all),
					found(simd, kernel, call, all),
					call.operands.outputs,
					call.entry.tolerance,
					`${kernel}, ${name}, relaxed against simd`,
				);
			}
		});
	});
}
