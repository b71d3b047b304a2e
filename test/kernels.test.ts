import { describe, expect, test } from "vitest";
import type { KernelName } from "../src/engine/kernels.ts";
import { activations, layouts, RESERVED_BYTES } from "../src/engine/layouts.ts";
import { rareKernels, signatures } from "../src/engine/signatures.ts";
import {
	type Build,
	buildOf,
	builds,
	call as callKernel,
	grow,
	modulesOf,
	type Range,
	relaxed,
	simd,
} from "./reference/builds.ts";
import type { Entry } from "./reference/entry.ts";
import { reference } from "./reference/index.ts";
import {
	Operands,
	type Output,
	outputBytes,
	readOutput,
	viewOf,
} from "./reference/operands.ts";

const PARTITIONS = 4;

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
	build: Build,
	kernel: K,
	{ args, image }: Call<K>,
	ranges: readonly Range[],
): Uint8Array {
	grow(build, image.length);
	const bytes = new Uint8Array(build.memory.buffer, 0, image.length);
	// What the module keeps in the reserved start becomes part of what a call must leave as it was.
	image.set(bytes.subarray(0, RESERVED_BYTES));
	bytes.set(image);
	callKernel(build, kernel, args, ranges);
	return bytes.slice();
}

/** All units, some from the middle, and none. */
function samples<K extends KernelName>({ entry, operands, units }: Call<K>) {
	const { grain } = entry;
	const lo = Math.floor((operands.random() * units) / grain) * grain;
	const some = Math.ceil((operands.random() * (units - lo)) / grain) * grain;
	const middle = [lo, Math.min(lo + some, units)];
	return [[0, units], middle, [lo, lo]] as unknown as Range[];
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

function sameBits(a: Uint8Array, b: Uint8Array, output: Output): boolean {
	const { address } = output;
	const end = address + outputBytes(output);
	return (
		Buffer.compare(a.subarray(address, end), b.subarray(address, end)) === 0
	);
}

function expectClose<K extends KernelName>(
	actual: Uint8Array,
	wanted: Uint8Array,
	{ operands, entry }: Call<K>,
	where: string,
) {
	const { absolute, relative } = entry.tolerance;
	for (const [o, output] of operands.outputs.entries()) {
		if (sameBits(actual, wanted, output)) continue;
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

function expectUntouched<K extends KernelName>(
	actual: Uint8Array,
	{ image, operands }: Call<K>,
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

function expectSameBits(
	actual: Uint8Array,
	wanted: Uint8Array,
	outputs: readonly Output[],
	where: string,
) {
	for (const [o, output] of outputs.entries()) {
		if (!sameBits(actual, wanted, output))
			expect.fail(`${where}: output ${o} differs`);
	}
}

function seedOf(text: string): number {
	let hash = 2166136261;
	for (const char of text)
		hash = Math.imul(hash ^ char.charCodeAt(0), 16777619);
	return hash;
}

test("each module keeps its constants in its own half of the reserved memory", () => {
	for (const { target } of builds)
		for (const [index, bytes] of modulesOf(target).entries()) {
			const { memory } = buildOf(target, [bytes]);
			const found = new Uint8Array(memory.buffer);
			const half = RESERVED_BYTES / 2;
			found.fill(0, index * half, (index + 1) * half);
			const where = `${target}, module ${index}, address`;
			expect(
				found.findIndex((byte) => byte !== 0),
				where,
			).toBe(-1);
		}
});

test("all rare kernels are named by a layout or pack into one, so that weights tell who needs them", () => {
	const named = new Set<string | undefined>(
		Object.values(layouts).flatMap(({ gemm, embed, activation }) => [
			gemm,
			embed,
			activations[activation].quantize,
		]),
	);
	const others = rareKernels.filter(
		(name) => !named.has(name) && !name.startsWith("pack_"),
	);
	expect(others).toEqual([]);
});

for (const kernel of Object.keys(signatures) as KernelName[]) {
	describe(kernel, () => {
		const names = Object.keys(reference[kernel]?.cases ?? {});
		test("has a reference and cases", () => {
			expect(names).not.toHaveLength(0);
		});

		test("equals the reference and stays inside its outputs", () => {
			for (const name of names) {
				const call = prepare(kernel, name);
				for (const range of samples(call)) {
					const wanted = expected(call, range);
					for (const build of builds) {
						const where = `${build.target}: ${kernel}, ${name}, units [${range}) of ${call.units}`;
						const actual = found(build, kernel, call, [range]);
						expectClose(actual, wanted, call, where);
						expectUntouched(actual, call, where);
					}
				}
			}
		});

		test("any split gives the same bits", () => {
			for (const name of names) {
				const call = prepare(kernel, name);
				const { entry, operands, units } = call;
				for (const build of builds) {
					const whole = found(build, kernel, call, [[0, units]]);
					for (let i = 0; i < PARTITIONS; i++) {
						const ranges = partition(units, entry.grain, () =>
							operands.random(),
						);
						expectSameBits(
							found(build, kernel, call, ranges),
							whole,
							operands.outputs,
							`${build.target}: ${kernel}, ${name}, ranges ${ranges.join(" ")}`,
						);
					}
				}
			}
		});

		test.skipIf(relaxed === undefined)("relaxed agrees with simd", () => {
			if (simd === undefined || relaxed === undefined) return;
			for (const name of names) {
				const call = prepare(kernel, name);
				const all: Range[] = [[0, call.units]];
				expectClose(
					found(relaxed, kernel, call, all),
					found(simd, kernel, call, all),
					call,
					`${kernel}, ${name}, relaxed against simd`,
				);
			}
		});
	});
}
