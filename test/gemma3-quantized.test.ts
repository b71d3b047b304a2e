import { expect, it } from "vitest";
import { openCheckpoint } from "../src/formats/open.ts";
import { findMatrix, matrixNames } from "../src/quant/scheme.ts";
import { Model } from "../src/runtime/server.ts";
import {
	golden,
	goldenImage,
	largestDifference,
	nanoGemma3,
} from "./nano-gemma3.ts";
import { torchaoHqq } from "./quantizers.ts";
import { type WriteTensor, writeSafetensors } from "./write-safetensors.ts";

const EMBEDDING = "language_model.model.embed_tokens.weight";
const HEAD = "language_model.lm_head.weight";

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
	new Uint8Array(buffer, byteOffset, byteLength);
const f32 = (shape: readonly number[], values: Float32Array): WriteTensor => ({
	dtype: "F32",
	shape,
	data: bytesOf(values),
});

/**
 * nano-gemma3 as HQQ INT8-INT4 checkpoints are: embeddings of tokens and positions and the tower's second feed-forward
 * matrices in int8 with a scale per row, all other layers and an untied head in int4 with a scale per 32 columns, what
 * is no layer as it was. And the same numbers in f32.
 */
async function quantized(dynamic: boolean) {
	const checkpoint = await openCheckpoint(nanoGemma3());
	const tensors: Record<string, WriteTensor> = {};
	const exact: Record<string, WriteTensor> = {};
	const metadata: Record<string, string> = {};
	const names = [...matrixNames(checkpoint), HEAD];
	for (const key of names) {
		const stored = key === HEAD ? EMBEDDING : key;
		const matrix = (await findMatrix(checkpoint, stored))!;
		const { shape, rows, cols } = matrix;
		const values = await matrix.decode(0, rows);
		const isTable = /embed_tokens|position_embedding/.test(key);
		if (shape.length !== 2 || key.endsWith("_projection_weight")) {
			tensors[key] = exact[key] = f32(shape, values);
			metadata[key] = JSON.stringify({ _type: "Tensor" });
			continue;
		}
		const isInt8 = isTable || key.includes("mlp.fc2");
		const [bits, block] = isInt8 ? [8, cols] : [4, 32];
		const { codes, scales } = torchaoHqq(values, bits, block);
		exact[key] = f32(
			shape,
			Float32Array.from(codes, (c, i) => c * scales[Math.floor(i / block)]!),
		);
		const stem = `${key.replace(/(\w+)$/, "_$1")}_`;
		const perScale = [rows, cols / block];
		const zeros = new Uint8Array(scales.length);
		tensors[`${stem}qdata`] = { dtype: "I8", shape, data: bytesOf(codes) };
		tensors[`${stem}scale`] = f32(perScale, scales);
		tensors[`${stem}zero_point`] = {
			dtype: "I8",
			shape: perScale,
			data: zeros,
		};
		metadata[key] = JSON.stringify({
			_type: "IntxUnpackedToInt8Tensor",
			_data: {
				target_dtype: { _type: "torch.dtype", _data: `int${bits}` },
				block_size: [1, block],
				dtype: { _type: "torch.dtype", _data: "float32" },
				activation_quantization:
					dynamic && !isTable ? "int8_asym_per_token" : null,
			},
		});
	}
	metadata.tensor_names = JSON.stringify(Object.keys(metadata));
	const repository = (
		weights: Uint8Array,
		quantization_config?: Record<string, unknown>,
	) =>
		nanoGemma3(
			(config) => ({
				...config,
				torch_dtype: "float32",
				tie_word_embeddings: false,
				...(quantization_config && { quantization_config }),
			}),
			{ "model.safetensors": weights },
		);
	return {
		exact: repository(writeSafetensors(exact)),
		torchao: repository(writeSafetensors(tensors, metadata), {
			quant_method: "torchao",
			modules_to_not_convert: [],
		}),
	};
}

const imagesOf = (image: string | undefined) =>
	image ? [goldenImage(image)] : [];

it("computes with the numbers that HQQ INT8-INT4 codes stand for", async () => {
	const { exact, torchao } = await quantized(false);
	await using expected = await Model.load(exact);
	await using model = await Model.load(torchao);
	for (const { input_ids, image } of golden) {
		const images = imagesOf(image);
		const [found] = await model.logits(input_ids, { images });
		const [want] = await expected.logits(input_ids, { images });
		expect(largestDifference(found!, want!)).toBeLessThan(1e-3);
	}
});

it("answers as before with quantized inputs", async () => {
	const { torchao } = await quantized(true);
	await using model = await Model.load(torchao);
	for (const { input_ids, image, greedy_ids } of golden.filter(
		(c) => c.image,
	)) {
		const { tokenIds } = await model.generate(
			{ ids: input_ids },
			{ doSample: false, images: imagesOf(image) },
		);
		expect(tokenIds).toEqual(greedy_ids);
	}
});
