import { describe, expect, test } from "vitest";
import {
	command,
	helpFor,
	parse,
	suggest,
	UsageError,
} from "../src/cli/arguments.ts";
import { flags } from "../src/cli/flags.ts";
import { formatBytes } from "../src/cli/progress.ts";

const accepted = [
	"prompt",
	"ids",
	"top-k",
	"temperature",
	"stop",
	"json",
	"thinking",
	"no-thinking",
] as const;
const read = (...args: string[]) => parse(args, accepted);

describe("parse", () => {
	test("reads each kind of value", () => {
		expect(
			read(
				"--prompt",
				"Once upon",
				"--top-k=5",
				"--temperature",
				"0.7",
				"--json",
				"--stop",
				"a",
				"--stop",
				"b",
				"--ids",
				"1,2, 3 4",
			).values,
		).toEqual({
			prompt: "Once upon",
			"top-k": 5,
			temperature: 0.7,
			json: true,
			stop: ["a", "b"],
			ids: [1, 2, 3, 4],
		});
	});

	test("numbers as people write them", () => {
		for (const [text, value] of [
			["1", 1],
			[".5", 0.5],
			["1.", 1],
			["1e-3", 1e-3],
			["-0.5", -0.5],
		] as const)
			expect(read("--temperature", text).values.temperature).toBe(value);
	});

	test("what is not given is absent", () => {
		expect(read().values).toEqual({});
	});

	test("keeps what is not a flag, also after --", () => {
		expect(read("a", "--json", "b", "--", "--top-k").operands).toEqual([
			"a",
			"b",
			"--top-k",
		]);
	});

	test("a value may be empty or begin with a dash", () => {
		expect(read("--prompt", "").values.prompt).toBe("");
		expect(read("--prompt", "- milk").values.prompt).toBe("- milk");
		expect(read("--prompt=--json").values.prompt).toBe("--json");
	});

	test("help is always accepted", () => {
		expect(read("--help").values.help).toBe(true);
	});

	const wrong: [string[], string][] = [
		[
			["--tempreture", "1"],
			"unknown flag --tempreture; did you mean --temperature?",
		],
		[["--xyzzy"], "unknown flag --xyzzy"],
		[["-p", "x"], "unknown flag -p"],
		[["--banks", "2"], "unknown flag --banks"],
		[["--prompt"], "--prompt needs a value"],
		[["--prompt", "--json"], "--prompt needs a value"],
		[["--json=yes"], '--json takes no value, found "yes"'],
		[["--top-k", "5.5"], '--top-k is "5.5", expected an integer'],
		[["--top-k", ""], '--top-k is "", expected an integer'],
		[["--temperature", "hot"], '--temperature is "hot", expected a number'],
		[["--temperature", "0x10"], '--temperature is "0x10", expected a number'],
		[["--ids", "1,,2"], '--ids is "1,,2", expected token ids such as 1,2,3'],
		[["--ids", "-1"], '--ids is "-1", expected token ids such as 1,2,3'],
		[["--ids", "1,a"], '--ids is "1,a", expected token ids such as 1,2,3'],
	];
	for (const [args, message] of wrong)
		test(args.join(" "), () => {
			expect(() => read(...args)).toThrow(new UsageError(message));
		});
});

test("suggest finds the nearest, or nothing", () => {
	expect(suggest("genrate", ["generate", "chat"])).toBe(
		"; did you mean generate?",
	);
	expect(suggest("frobnicate", ["generate", "chat"])).toBe("");
});

test("help lists every flag of the command with its value", () => {
	const text = helpFor(
		"example",
		command({
			about: "Do it.",
			operands: "[TEXT]",
			flags: ["top-k", "json"],
			run: async () => 0,
		}),
	);
	expect(text).toContain("nibble example [flags] [TEXT]\nDo it.\n");
	for (const flag of ["top-k", "json", "help"] as const)
		expect(text).toContain(flags[flag].about);
	expect(text).toContain("--top-k K  ");
});

test("bytes have three digits", () => {
	expect(
		[0, 999, 1000, 999_499, 999_500, 5_247_488, 3.1e12].map(formatBytes),
	).toEqual([
		"0 B",
		"999 B",
		"1.00 kB",
		"999 kB",
		"1.00 MB",
		"5.25 MB",
		"3.10 TB",
	]);
});
