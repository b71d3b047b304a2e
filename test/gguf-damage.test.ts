import { afterAll, describe, expect, test } from "vitest";
import { CheckpointError, UnsupportedError } from "../src/errors.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { bytesSource } from "../src/sources/bytes.ts";
import { fixture } from "./fixture.ts";
import { printCount } from "./survive.ts";
import {
	u32,
	u64,
	type WriteGguf,
	type WriteTensor,
	type WriteValue,
	writeGguf,
} from "./write-gguf.ts";

let damaged = 0;
afterAll(() => printCount("GGUF files", damaged));

describe("a file is refused that", () => {
	const tensor = (more: Partial<WriteTensor> = {}): WriteTensor => ({
		name: "a",
		sizes: [4],
		type: 0,
		...more,
	});
	const value = (type: number, raw: Uint8Array): WriteGguf => ({
		keys: [["k", { type, raw }]],
	});
	const array = (type: number, count: bigint, ...rest: Uint8Array[]) =>
		value(9, new Uint8Array(Buffer.concat([u32(type), u64(count), ...rest])));
	const alignment = (value: WriteValue): WriteGguf => ({
		keys: [["general.alignment", value]],
	});

	test.each<[string, WriteGguf, string]>([
		[
			"has version 1",
			{ version: 1 },
			"GGUF version 1; versions 2 and 3 are read",
		],
		["has version 4", { version: 4 }, "GGUF version 4"],
		["is big-endian", { version: 0x03000000 }, "big-endian"],
		[
			"announces 2^60 keys",
			{ keyCount: 2n ** 60n },
			"is 1152921504606846976, too large",
		],
		[
			"announces 2^40 keys",
			{ keyCount: 2n ** 40n },
			"1099511627776 keys are announced",
		],
		["announces -1 keys", { keyCount: 2n ** 64n - 1n }, "too large"],
		["announces 2^60 tensors", { tensorCount: 2n ** 60n }, "too large"],
		[
			"announces 2^40 tensors",
			{ tensorCount: 2n ** 40n },
			"1099511627776 tensors are announced",
		],
		["announces a string of 2^60 bytes", value(8, u64(2n ** 60n)), "too large"],
		["announces a string of 2^50 bytes", value(8, u64(2n ** 50n)), "truncated"],
		["announces 2^60 strings", array(8, 2n ** 60n), "too large"],
		["announces 2^50 strings", array(8, 2n ** 50n), "at most 16777216"],
		["announces 2^20 strings", array(8, 2n ** 20n), "1048576 strings"],
		["announces 2^24 numbers", array(0, 2n ** 24n), "takes 16777216 bytes"],
		[
			"has an array in an array",
			array(9, 1n, u32(0), u64(0n)),
			"an array inside an array",
		],
		[
			"has an array of an unknown type",
			array(13, 1n),
			"type 13, which is not known",
		],
		[
			"has a value of an unknown type",
			value(99, new Uint8Array(8)),
			'metadata "k" has the type 99',
		],
		[
			"has a key twice",
			{
				keys: [
					["k", { u8: 1 }],
					["k", { u8: 1 }],
				],
			},
			'metadata "k" repeats',
		],
		[
			"has an empty key",
			{ keys: [["", { u8: 1 }]] },
			"metadata key 0 is empty",
		],
		["is aligned to 0", alignment({ u32: 0 }), "general.alignment is 0"],
		["is aligned to 24", alignment({ u32: 24 }), "general.alignment is 24"],
		[
			"is aligned to 2^31",
			alignment({ u32: 2 ** 31 }),
			"general.alignment is 2147483648",
		],
		[
			"is aligned to 2^60",
			alignment({ u64: 2n ** 60n }),
			'general.alignment is "1152921504606846976"',
		],
		[
			"is aligned to a word",
			alignment({ string: "32" }),
			'general.alignment is "32"',
		],
		[
			"has a tensor twice",
			{ tensors: [tensor(), tensor()] },
			'tensor "a" occurs twice',
		],
		[
			"has a tensor without a name",
			{ tensors: [tensor({ name: "" })] },
			"has not 1 to 63 bytes",
		],
		[
			"has a tensor with a long name",
			{ tensors: [tensor({ name: "é".repeat(32) })] },
			"has not 1 to 63 bytes",
		],
		[
			"has five dimensions",
			{ tensors: [tensor({ sizes: [1, 1, 1, 1, 1] })] },
			"5 dimensions, at most 4",
		],
		[
			"has 2^32-1 dimensions",
			{ tensors: [tensor({ dimensions: 2 ** 32 - 1 })] },
			"4294967295 dimensions",
		],
		[
			"has a dimension of 0",
			{ tensors: [tensor({ sizes: [4, 0] })] },
			"its shape is [0,4]",
		],
		[
			"has a dimension of 2^60",
			{ tensors: [tensor({ sizes: [2n ** 60n] })] },
			"too large",
		],
		[
			"has more elements than numbers count",
			{ tensors: [tensor({ sizes: [2 ** 30, 2 ** 30] })] },
			"its shape is",
		],
		[
			"has more bytes than numbers count",
			{ tensors: [tensor({ sizes: [2 ** 52], type: 28 })] },
			"too large",
		],
		[
			"has 2^50 elements",
			{ tensors: [tensor({ sizes: [2 ** 50] })] },
			"truncated",
		],
		[
			"has a type that is older than GGUF",
			{ tensors: [tensor({ type: 4 })] },
			"the tensor type 4 is not known",
		],
		[
			"has a type from the future",
			{ tensors: [tensor({ type: 99 })] },
			"the tensor type 99 is not known",
		],
		[
			"has half a block",
			{ tensors: [tensor({ sizes: [48], type: 2 })] },
			"rows of 48 elements are not whole blocks of Q4_0 (32)",
		],
		[
			"has a gap",
			{ tensors: [tensor(), tensor({ name: "b", offset: 64n })] },
			'tensor "b" is at 64 of the data, the tensors before it end at 32',
		],
		[
			"has an overlap",
			{ tensors: [tensor(), tensor({ name: "b", offset: 0n })] },
			'tensor "b" is at 0 of the data',
		],
		[
			"has an offset of 2^63",
			{ tensors: [tensor({ offset: 2n ** 63n })] },
			"too large",
		],
		[
			"has less data than its tensors",
			{ tensors: [tensor({ sizes: [9], data: new Uint8Array(4) })] },
			'truncated: tensor "a" ends at byte',
		],
		[
			"has two tensors that mean the same",
			{
				keys: [["general.architecture", { string: "llama" }]],
				tensors: [
					tensor({ name: "output_norm.weight" }),
					tensor({ name: "model.norm.weight" }),
				],
			},
			"is a second model.norm.weight",
		],
		[
			"has divisors of the wrong type",
			{ tensors: [tensor({ name: "rope_freqs.weight", type: 1 })] },
			"rope_freqs.weight is F16 [4]",
		],
		[
			"has a Gemma norm of the wrong type",
			{
				keys: [["general.architecture", { string: "gemma3" }]],
				tensors: [tensor({ name: "output_norm.weight", type: 1 })],
			},
			"norm weight of type F16",
		],
	])("%s", async (_, file, why) => {
		damaged++;
		const opening = openCheckpoint(bytesSource(writeGguf(file), "x.gguf"));
		const error = await opening.catch((error: unknown) => error);
		expect(String(error)).toContain(why);
		expect(String(error)).toContain("x.gguf");
		expect(
			error instanceof CheckpointError || error instanceof UnsupportedError,
		).toBe(true);
	});

	test("is cut anywhere", async () => {
		const whole = fixture("gguf/all_types_v3.gguf");
		for (let end = 0; end < whole.length; end += end < 1700 ? 1 : 97) {
			const opening = openCheckpoint(bytesSource(whole.subarray(0, end)));
			await expect(opening, `${end}`).rejects.toThrow(CheckpointError);
			damaged++;
		}
	});

	test("has a header longer than any", async () => {
		const claim = writeGguf(value(8, u64(2n ** 30n)));
		const source = {
			name: "x.gguf",
			size: 2 ** 31,
			async read(_: number, length: number) {
				const bytes = new Uint8Array(length);
				bytes.set(claim.subarray(0, length));
				return bytes;
			},
		};
		await expect(openCheckpoint(source)).rejects.toThrow(
			"of the header, at most 134217728 are allowed",
		);
	});
});
