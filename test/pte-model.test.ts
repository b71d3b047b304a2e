import { describe, expect, test } from "vitest";
import {
	CheckpointError,
	OptionError,
	UnsupportedError,
} from "../src/errors.ts";
import { Model } from "../src/runtime/server.ts";
import { bytesRepository } from "../src/sources/bytes.ts";
import type { Repository } from "../src/sources/source.ts";
import type { DraftProgram } from "./draft-pte.ts";
import { fixture } from "./fixture.ts";
import { EMBEDDING, type NanoPteOptions, nanoPte } from "./nano-pte.ts";
import { nanoTorchao, quantizeNano } from "./quantized-nano.ts";
import type { WriteTensor } from "./write-pte.ts";

// Models from ExecuTorch programs: the same weights as a program and as torchao's checkpoint are the same model.

type Files = Record<string, Uint8Array>;

const PROMPT = [631, 630, 256, 451, 11, 463, 316, 256, 270, 344, 349, 501];
const FILE = { file: "model.pte" };

async function logitsOf(files: Files, options = {}): Promise<Float32Array[]> {
	await using model = await Model.load(bytesRepository(files, "nano"), options);
	return await model.logits(PROMPT, { all: true });
}

async function valuesOf(
	source: Repository,
	name: string,
): Promise<Float32Array> {
	const values: number[] = [];
	for await (const piece of Model.readTensor(source, name, FILE))
		for (const value of piece.values) values.push(value);
	return Float32Array.from(values);
}

let wanted: Promise<Float32Array[]> | undefined;
const wantedLogits = () => {
	wanted ??= nanoTorchao("8da4w", "v2").then((files) => logitsOf(files));
	return wanted;
};

describe("has the logits of torchao's checkpoint", () => {
	test.each<[string, NanoPteOptions]>([
		["with weights in delegates", {}],
		["with weights among the program's named data", { named: true }],
		["with a delegate for each linear layer", { apart: true }],
		["with values before keys before queries", { order: ["v", "k", "q"] }],
		["with up before gate", { upFirst: true }],
		["all at once", { order: ["k", "q", "v"], upFirst: true, apart: true }],
		["with heads before rows", { headsFirst: true }],
		["with an embedding of floats", { embedding: "float" }],
	])("%s", async (_, options) => {
		expect(await logitsOf(await nanoPte(options), FILE)).toEqual(
			await wantedLogits(),
		);
	});

	test("in two banks, on one thread", async () => {
		const options = { ...FILE, banks: 2, threads: 1 };
		expect(await logitsOf(await nanoPte(), options)).toEqual(
			await wantedLogits(),
		);
	});
});

describe("with config.json and tokenizer in another folder", () => {
	const parts = async () => {
		const { "model.pte": program, ...rest } = await nanoPte();
		return { program: program!, folder: bytesRepository(rest, "smollm3") };
	};

	test("given as bytes, or as a file of a folder", async () => {
		const { program, folder } = await parts();
		const alone = bytesRepository({ "a/b.pte": program }, "programs");
		for (const [source, file] of [[program], [alone, "a/b.pte"]] as const) {
			await using model = await Model.load(source, { config: folder, file });
			const logits = await model.logits(PROMPT, { all: true });
			expect(logits).toEqual(await wantedLogits());
			expect(model.tokenizer?.decode(PROMPT.slice(0, 1))).not.toBe("");
		}
		const inspection = await Model.inspect(program, { config: folder });
		expect(inspection.unsupported).toBeUndefined();
	});

	test("which has to be one", async () => {
		const { program, folder } = await parts();
		const file = Model.load(program, { config: program });
		await expect(file).rejects.toThrow(OptionError);
		await expect(file).rejects.toThrow(
			"config is bytes, a file; expected the folder of config.json",
		);
		const config = bytesRepository({}, "nothing");
		for (const source of [program, bytesRepository(await nanoPte(), "nano")])
			await expect(Model.load(source, { config, ...FILE })).rejects.toThrow(
				"nothing: config.json is missing",
			);
		const gguf = Model.load(fixture("gguf/all_types_v3.gguf"), {
			config: folder,
		});
		await expect(gguf).rejects.toThrow(OptionError);
		await expect(gguf).rejects.toThrow(
			"config is smollm3, but bytes has its configuration in itself",
		);
	});
});

test("its weights have names", async () => {
	const source = bytesRepository(await nanoPte(), "nano");
	const inspection = await Model.inspect(source, FILE);
	expect(inspection).toMatchObject({
		container: "pte",
		architecture: "SmolLM3ForCausalLM",
		unsupported: undefined,
		schemes: { "XNNPACK int4 g32": { tensors: 29 } },
		config: { tie_word_embeddings: false, no_rope_layers: [1, 1, 1, 0] },
	});
	const { quantized } = await quantizeNano("8da4w");
	const name = "model.layers.2.mlp.up_proj.weight";
	const { codes, scales } = quantized.get(name)!;
	expect(await valuesOf(source, name)).toEqual(
		Float32Array.from(codes, (code, i) => code * scales[Math.floor(i / 32)]!),
	);
});

test("an embedding of 4 bits has the even column in the high half", async () => {
	const files = await nanoPte({ embedding: "4bit" });
	const { codes, scales, shape } = (await quantizeNano("8da4w")).quantized.get(
		EMBEDDING,
	)!;
	const source = bytesRepository(files, "nano");
	expect(await valuesOf(source, EMBEDDING)).toEqual(
		Float32Array.from(
			codes,
			(code, i) => (code >> 4) * scales[Math.floor(i / shape[1])]!,
		),
	);
	// And it runs: the embedding is a sixteenth of what it was, which the first norm takes away, as far as 4 bits tell.
	const [row] = await logitsOf(files, FILE);
	expect(row!.every(Number.isFinite)).toBe(true);
});

test("Llama, which rotates in all layers", async () => {
	const llama = { architectures: ["LlamaForCausalLM"], model_type: "llama" };
	const files = await nanoPte(
		{ rotatesAll: true },
		{ ...llama, no_rope_layers: undefined },
	);
	const { architecture } = await Model.inspect(bytesRepository(files), FILE);
	expect(architecture).toBe("LlamaForCausalLM");
	const some = await nanoPte({}, { ...llama, no_rope_layers: undefined });
	await expect(Model.load(bytesRepository(some), FILE)).rejects.toThrow(
		"config.json says no_rope_layers [1,1,1,1], the program computes [1,1,1,0]",
	);
});

test("without a tokenizer it takes token ids", async () => {
	const { "tokenizer.json": _, ...files } = await nanoPte();
	await using model = await Model.load(bytesRepository(files, "nano"), FILE);
	expect(await model.logits(PROMPT)).toEqual((await wantedLogits()).slice(-1));
	await expect(model.generate("Once").then()).rejects.toThrow(
		"nano: has no tokenizer, only token ids can be given",
	);
});

/** What loading says of a program. */
async function refusal(
	options: NanoPteOptions,
	config: Readonly<Record<string, unknown>>,
	change?: (program: DraftProgram) => void,
): Promise<Error> {
	const files = await nanoPte(options, config, change);
	const loading = Model.load(bytesRepository(files, "nano"), FILE);
	return loading.then(
		() => expect.unreachable(),
		(error) => error,
	);
}

describe("is refused", () => {
	test("without config.json", async () => {
		const { "config.json": _, ...files } = await nanoPte();
		for (const [source, options] of [
			[bytesRepository(files, "nano"), FILE],
			[files["model.pte"]!, {}],
		] as const) {
			const loading = Model.load(source, options);
			await expect(loading).rejects.toThrow(UnsupportedError);
			await expect(loading).rejects.toThrow(
				/without that file beside it.*; load the checkpoint that it was exported from/,
			);
		}
	});

	test.each<[string, NanoPteOptions, Record<string, unknown>, string]>([
		[
			"fewer layers",
			{},
			{ num_hidden_layers: 3 },
			"config.json says num_hidden_layers 3, the program computes 4",
		],
		[
			"other heads",
			{},
			{ num_attention_heads: 8, head_dim: 32 },
			"config.json says num_attention_heads 8, the program computes 4 in layer 0",
		],
		[
			"other heads of keys",
			{},
			{ num_key_value_heads: 4 },
			"config.json says num_key_value_heads 4, the program computes 2 in layer 0",
		],
		[
			"layers that are not rotated",
			{},
			{ no_rope_layers: [1, 1, 0, 0] },
			"config.json says no_rope_layers [1,1,0,0], the program computes [1,1,1,0]",
		],
		[
			"another model",
			{},
			{ architectures: ["Gemma3ForCausalLM"] },
			'config.json says architectures ["Gemma3ForCausalLM"]; what can be found',
		],
		[
			"heads whose neighbours are rotated",
			{ rotation: "pairs" },
			{},
			"layer 0: queries and keys are not rotated by halves of heads",
		],
	])("%s", async (_, options, config, message) => {
		const error = await refusal(options, config);
		expect(error).toBeInstanceOf(UnsupportedError);
		expect(error.message).toContain(`model.pte: ${message}`);
		expect(error.message).toContain("load the checkpoint");
	});

	test.each<[string, Record<string, unknown>, string]>([
		[
			"a feed-forward of another size",
			{ intermediate_size: 384 },
			"tensor model.layers.0.mlp.gate_proj.weight has shape [512, 256], expected [384, 256]",
		],
		[
			"another vocabulary",
			{ vocab_size: 1000 },
			"tensor model.embed_tokens.weight has shape [1024, 256], expected [1000, 256]",
		],
	])("%s", async (_, config, message) => {
		const error = await refusal({}, config);
		expect(error).toBeInstanceOf(CheckpointError);
		expect(error.message).toContain(message);
	});

	test.each<[string, (program: DraftProgram) => void, RegExp]>([
		[
			"an embedding that is in another file",
			({ values }) => {
				const codes = values.findIndex((v) => v && "data" in v);
				const { data, ...rest } = values[codes] as WriteTensor;
				values[codes] = rest;
			},
			/weights of quantized_decomposed::embedding_byte.out are not in the file/,
		],
		[
			"an embedding with zero points",
			({ values }) => {
				const zeros = values.find(
					(v) => v && "data" in v && v.data!.every((byte) => byte === 0),
				) as WriteTensor;
				zeros.data![17] = 1;
			},
			/model.embed_tokens.weight has zero points other than zero/,
		],
		[
			"an operator that is no embedding",
			({ calls }) => {
				calls[0] = { ...calls[0]!, operator: "aten::mean.out" };
			},
			/first layer's input comes from aten::mean.out, expected an embedding/,
		],
		[
			"a linear layer with a bias",
			(program) => {
				program.graphs[2]!.nodes[1]!.fields[2] = 0;
			},
			/model.layers.0.self_attn.q_proj has a bias, expected none/,
		],
		[
			"a linear layer with an input of floats",
			({ graphs }) => {
				graphs[2]!.nodes[1]!.fields[0] = 0;
			},
			/q_proj is stored as qbint4 and multiplied with an input of type F32, expected qdint8/,
		],
		[
			"transposed weights",
			({ graphs }) => {
				graphs[2]!.nodes[1]!.fields[4] = 1;
			},
			/has a linear layer with transposed weights/,
		],
		[
			"a gate that is not silu",
			(program) => {
				const gate = program.graphs.find(({ nodes }) =>
					nodes.some(({ type }) => type === SIGMOID),
				)!;
				// sigmoid(gate) · up
				gate.nodes[2]!.fields[0] = gate.nodes[0]!.fields[1]!;
			},
			/4 calls of llama::custom_sdpa and 3 linear layers with an input silu\(gate\) · up/,
		],
		[
			"attention with another scale",
			({ values }) => {
				const scale = values.findIndex((v) => v && "double" in v && v.double);
				values[scale] = { double: 0.5 };
			},
			/layer 0: attention is scaled by 0.5, expected 0.125/,
		],
		[
			"attention of another kind",
			({ calls }) => {
				for (const [i, call] of calls.entries())
					if (call.operator === "llama::custom_sdpa.out")
						calls[i] = { ...call, operator: "llama::sdpa_with_kv_cache.out" };
			},
			/0 calls of llama::custom_sdpa and 4 linear layers/,
		],
		[
			"queries of two linear layers",
			({ calls, values }) => {
				const at = calls.findIndex((c) => c.operator === ATTENTION);
				const both = [calls[at]!.args[0]!, calls[at]!.args[2]!];
				const list = values.push({ list: both }) - 1;
				const sum = values.push({ ...(values[both[0]!] as WriteTensor) }) - 1;
				calls.splice(
					at,
					1,
					{
						operator: "aten::cat.out",
						args: [list, sum, sum],
					},
					{ ...calls[at]!, args: calls[at]!.args.with(0, sum) },
				);
			},
			/layer 0: queries may come from linear layer \d+ \[256,256\] or linear layer \d+ \[128,256\]/,
		],
		[
			"a call before what it reads",
			({ calls }) => {
				calls.reverse();
			},
			/linear layer|calls of llama::custom_sdpa/,
		],
		[
			"a residual that is left out",
			({ calls, graphs }) => {
				// The sum after the first layer's o takes x twice.
				const sum = calls.findIndex(
					({ delegate }) =>
						delegate !== undefined &&
						graphs[delegate]!.nodes.map(({ type }) => type).join() === `${ADD}`,
				);
				const [x, , result] = calls[sum]!.args;
				calls[sum] = { ...calls[sum]!, args: [x!, x!, result!] };
			},
			/the input of linear layer 4 \[512,256\] is not the sum of that of the layer before it and of what linear layer 3 \[256,256\] gives/,
		],
		[
			"queries with a norm of their own",
			({ graphs }) => {
				const rotation = graphs.find(({ nodes }) => nodes[0]?.type === SLICE)!;
				const root = rotation.values.push(rotation.values[0]!) - 1;
				rotation.nodes.unshift({ type: ROOT, fields: { 0: 0, 1: root } });
				rotation.nodes[1]!.fields[3] = root;
			},
			/layer 0: queries and keys are not rotated by halves of heads, or something else/,
		],
		[
			"logits that are changed",
			(program) => {
				const [logits] = program.outputs;
				const shape = program.shapeOf(logits!);
				program.outputs = [program.call("aten::tanh.out", [logits!], shape)];
			},
			/linear layer 28 \[1024,256\] is not what gives the one output/,
		],
		[
			"a node that is not known",
			({ graphs }) => {
				graphs[0]!.nodes.push({ type: 99, fields: {} });
			},
			/forward has a node of XNNPACK, \?99, that is not known/,
		],
		[
			"a jump",
			({ calls }) => {
				calls.push({ args: [] });
			},
			/forward is no straight sequence of calls/,
		],
		[
			"another backend",
			(program) => {
				program.backend = "CoreMLBackend";
			},
			/forward calls CoreMLBackend, which keeps weights in a form of its own/,
		],
		[
			"a delegate that is not there",
			({ calls }) => {
				calls.push({ delegate: 1000, args: [0] });
			},
			/forward calls a delegate that is not there/,
		],
	])("%s", async (_, change, message) => {
		const error = await refusal({}, {}, change);
		expect(error).toBeInstanceOf(UnsupportedError);
		expect(error.message).toMatch(message);
	});
});

const ATTENTION = "llama::custom_sdpa.out";
const [ADD, SIGMOID, SLICE, ROOT] = [1, 4, 35, 40];
