/**
 * SigLIP's vision tower: a transformer over the patches of an image, each seeing all. After
 * transformers/models/siglip/modeling_siglip.py.
 *
 * T patches of the image, row after row   D hidden size   H heads   d head size   F feed-forward
 */
import type { Graph } from "../engine/graph.ts";
import type { Tensor } from "../engine/operands.ts";
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Weights } from "./architecture.ts";
import { type Config, readLayers, readSize } from "./config.ts";

const CHANNELS = 3;

type SiglipConfig = ReturnType<typeof siglipConfig>;
type SiglipWeights = ReturnType<typeof siglipWeights>;

/** @param hf config.json's `vision_config` */
export function siglipConfig(hf: Config) {
	const D = readSize(hf, "hidden_size", 768);
	const H = readSize(hf, "num_attention_heads", 12);
	const pixels = readSize(hf, "image_size", 224);
	const patch = readSize(hf, "patch_size", 16);
	const channels = readSize(hf, "num_channels", CHANNELS);
	const act = hf.text("hidden_act", "gelu_pytorch_tanh");
	if (act !== "gelu_pytorch_tanh")
		throw new UnsupportedError(
			`${hf.file}: hidden_act is "${act}", expected "gelu_pytorch_tanh"`,
		);
	if (channels !== CHANNELS)
		throw new UnsupportedError(
			`${hf.file}: num_channels is ${channels}, expected ${CHANNELS}`,
		);
	if (D % H !== 0)
		throw new CheckpointError(
			`${hf.file}: hidden_size is ${D}, expected a multiple of num_attention_heads, ${H}`,
		);
	return {
		L: readLayers(hf, 12),
		D,
		H,
		F: readSize(hf, "intermediate_size", 3072),
		eps: hf.number("layer_norm_eps", 1e-6),
		pixels,
		patch,
		/** Patches per side; what is left at the right and the bottom is not seen. */
		grid: Math.floor(pixels / patch),
	};
}

/** @param tower name of the module that holds the embeddings */
export function siglipWeights(
	w: Weights,
	tower: string,
	{ L, D, F, patch, grid }: SiglipConfig,
) {
	const norm = (w: Weights, name: string) => ({
		weight: w(name, [D]),
		bias: w(`${name}.bias`, [D]),
	});
	const linear = (w: Weights, name: string, n: number, k: number) => ({
		weight: w(name, [n, k]),
		bias: w(`${name}.bias`, [n]),
	});
	const K = CHANNELS * patch * patch;
	return {
		patches: linear(w, `${tower}.embeddings.patch_embedding`, D, K),
		positions: w(`${tower}.embeddings.position_embedding`, [grid * grid, D]),
		layers: w.layers(L, `${tower}.encoder.layers`, (w) => ({
			attnNorm: norm(w, "layer_norm1"),
			q: linear(w, "self_attn.q_proj", D, D),
			k: linear(w, "self_attn.k_proj", D, D),
			v: linear(w, "self_attn.v_proj", D, D),
			o: linear(w, "self_attn.out_proj", D, D),
			mlpNorm: norm(w, "layer_norm2"),
			up: linear(w, "mlp.fc1", F, D),
			down: linear(w, "mlp.fc2", D, F),
		})),
		norm: norm(w, `${tower}.post_layernorm`),
	};
}

/** Patches f32[T, 3 · patch²] → f32[T, D]. */
export function siglip(
	g: Graph,
	patches: Tensor,
	w: SiglipWeights,
	c: SiglipConfig,
): Tensor {
	const positions = g.embed(w.positions, 1, "rowNumber"); // [T, D]
	let x = g.add(positions, g.linear(patches, w.patches)); // [T, D]
	for (const l of w.layers) {
		const h = g.layerNorm(x, l.attnNorm, c.eps); // [T, D]
		const q = g.heads(g.linear(h, l.q), c.H); // [T, H, d]
		const k = g.heads(g.linear(h, l.k), c.H); // [T, H, d]
		const v = g.heads(g.linear(h, l.v), c.H); // [T, H, d]
		x = g.add(x, g.linear(g.attentionFull(q, k, v), l.o)); // [T, D]

		const m = g.layerNorm(x, l.mlpNorm, c.eps); // [T, D]
		x = g.add(x, g.linear(g.gelu(g.linear(m, l.up)), l.down)); // [T, D]
	}
	return g.layerNorm(x, w.norm, c.eps);
}
