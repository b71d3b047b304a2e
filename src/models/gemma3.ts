/**
 * Gemma 3: norms before and after every block, normalized queries and keys, and five layers that look back over a window
 * for each one that sees everything. After transformers/models/gemma3/modeling_gemma3.py.
 *
 * Images come in as soft tokens: what SigLIP makes of their patches, averaged over squares, in the place of embeddings.
 *
 * Letters as in llama.ts.
 */
import { CheckpointError, UnsupportedError } from "../errors.ts";
import {
	architecture,
	type Change,
	type ImagePrompt,
	type Weights,
} from "./architecture.ts";
import { type Config, readHeadSize, readLayers, readSize } from "./config.ts";
import { makeRope } from "./rope.ts";
import { siglip, siglipConfig, siglipWeights } from "./siglip.ts";

/** What modules are called in the checkpoints of text models, and of models that see by older and newer versions. */
const MODELS = [
	"model",
	"language_model.model",
	"model.language_model",
] as const;
const TOWERS = [
	"vision_tower.vision_model",
	"model.vision_tower.vision_model",
	"model.vision_tower",
] as const;
const PROJECTORS = [
	"multi_modal_projector",
	"model.multi_modal_projector",
] as const;
const HEADS = ["lm_head", "language_model.lm_head"] as const;

/** The one of several names of a module that the checkpoint has, or the first. */
const known = (
	names: readonly [string, ...string[]],
	has: (name: string) => boolean,
): string => names.find(has) ?? names[0];

const IMAGE_PROMPT: ImagePrompt = {
	placeholder: "<start_of_image>",
	before: "\n\n<start_of_image>",
	token: "<image_soft_token>",
	after: "<end_of_image>\n\n",
	crops: [
		"Here is the original image ",
		" and here are some crops to help you see better ",
	],
};

/** Norms multiply by 1 + w. */
const onePlus: Change = (w) => w.map((x) => 1 + x);

export const gemma3 = architecture({
	names: ["Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"],

	config(outer) {
		const hf = outer.section("text_config") ?? outer;
		refuseUnknown(hf);
		const L = readLayers(hf, 26);
		const D = readSize(hf, "hidden_size", 2304);
		const H = readSize(hf, "num_attention_heads", 8);
		const K = readSize(hf, "num_key_value_heads", 4);
		if (H % K !== 0)
			throw new CheckpointError(
				`${hf.file}: num_attention_heads is ${H}, expected a multiple of num_key_value_heads, ${K}`,
			);
		const d = readHeadSize(hf, 256);
		const window = readSize(hf, "sliding_window", 4096);
		const isFull = fullLayers(hf);
		const ropes = readRopes(hf, d);
		const dtype = outer.text("torch_dtype", outer.text("dtype", "float32"));
		return {
			L,
			D,
			H,
			K,
			d,
			F: readSize(hf, "intermediate_size", 9216),
			V: readSize(hf, "vocab_size", 262_208),
			eps: hf.number("rms_norm_eps", 1e-6),
			/** Multiplies embeddings. */
			embedScale: dtype === "bfloat16" ? toBf16(Math.sqrt(D)) : Math.sqrt(D),
			/** Multiplies q·k. */
			scale: hf.number("query_pre_attn_scalar", 256) ** -0.5,
			/** Per layer. */
			ropes: Array.from({ length: L }, (_, i) =>
				isFull(i) ? ropes.full : ropes.sliding,
			),
			/** Per layer: how far back a token looks; undefined is all the way. */
			windows: Array.from({ length: L }, (_, i) =>
				isFull(i) ? undefined : window,
			),
			attentionBias: hf.flag("attention_bias", false),
			tied: outer.flag(
				"tie_word_embeddings",
				hf.flag("tie_word_embeddings", true),
			),
			contextTokens: readSize(hf, "max_position_embeddings", 131_072),
			vision: readVision(outer),
		};
	},

	weights(w, { L, D, H, K, d, F, V, tied, attentionBias, vision }) {
		const model = known(MODELS, (name) => w.has(`${name}.norm`));
		const head = known(HEADS, w.has);
		const embed = w(`${model}.embed_tokens`, [V, D]);
		return {
			embed,
			layers: w.layers(L, `${model}.layers`, (w) => {
				const norm = (name: string, n: number) => w(name, [n], onePlus);
				const attention = (name: string, n: number, k: number) => ({
					weight: w(name, [n, k]),
					bias: attentionBias ? w(`${name}.bias`, [n]) : undefined,
				});
				return {
					attnNorm: norm("input_layernorm", D),
					q: attention("self_attn.q_proj", H * d, D),
					k: attention("self_attn.k_proj", K * d, D),
					v: attention("self_attn.v_proj", K * d, D),
					o: attention("self_attn.o_proj", D, H * d),
					qNorm: norm("self_attn.q_norm", d),
					kNorm: norm("self_attn.k_norm", d),
					// Not Llama's meaning of this name: after attention, before the sum.
					attnPostNorm: norm("post_attention_layernorm", D),
					ffnNorm: norm("pre_feedforward_layernorm", D),
					gate: { weight: w("mlp.gate_proj", [F, D]) },
					up: { weight: w("mlp.up_proj", [F, D]) },
					down: { weight: w("mlp.down_proj", [D, F]) },
					ffnPostNorm: norm("post_feedforward_layernorm", D),
				};
			}),
			norm: w(`${model}.norm`, [D], onePlus),
			head: tied ? embed : w(head, [V, D]),
			vision: vision && visionWeights(w, vision, D),
		};
	},

	forward(g, w, c) {
		let x = g.embed(w.embed, c.embedScale); // [T, D]
		if (c.vision) x = g.replaceSoft(x); // [T, D]
		for (const [i, l] of w.layers.entries()) {
			const rope = c.ropes[i]!;
			const h = g.rmsNorm(x, l.attnNorm, c.eps); // [T, D]
			const q = g.rmsNorm(g.heads(g.linear(h, l.q), c.H), l.qNorm, c.eps); // [T, H, d]
			const k = g.rmsNorm(g.heads(g.linear(h, l.k), c.K), l.kNorm, c.eps); // [T, K, d]
			const v = g.heads(g.linear(h, l.v), c.K); // [T, K, d]
			const a = g.attention(g.rope(q, rope), g.rope(k, rope), v, {
				cache: i,
				scale: c.scale,
				window: c.windows[i],
			}); // [T, H·d]
			x = g.add(x, g.rmsNorm(g.linear(a, l.o), l.attnPostNorm, c.eps)); // [T, D]

			const m = g.rmsNorm(x, l.ffnNorm, c.eps); // [T, D]
			const f = g.geglu(g.linear(m, l.gate), g.linear(m, l.up)); // [T, F]
			x = g.add(x, g.rmsNorm(g.linear(f, l.down), l.ffnPostNorm, c.eps)); // [T, D]
		}
		return g.linear(g.rmsNorm(g.outputs(x), w.norm, c.eps), { weight: w.head }); // [O, V]
	},

	sight: {
		sizes({ vision }) {
			if (!vision) return undefined;
			const { pixels, patch, grid } = vision.tower;
			return { ...vision.images, pixels, patch, patches: grid * grid };
		},
		record(g, { vision: w }, { vision: c }) {
			if (!w || !c) throw new Error("there is no vision tower to record");
			const input = g.input(3 * c.tower.patch ** 2); // [T, 3·patch²]
			const x = siglip(g, input, w.tower, c.tower); // [T, D of the tower]
			const pooled = g.averagePool(x, c.tower.grid, c.pool); // [O, D of the tower]
			const h = g.rmsNorm(pooled, w.norm, c.tower.eps);
			return { input, output: g.linear(h, { weight: w.projection }) }; // [O, D]
		},
	},
});

function readVision(outer: Config) {
	const hf = outer.section("vision_config");
	if (!hf) return undefined;
	const tower = siglipConfig(hf);
	const tokens = readSize(outer, "mm_tokens_per_image", 256);
	const pool = tower.grid / Math.sqrt(tokens);
	if (!Number.isInteger(pool))
		throw new CheckpointError(
			`${outer.file}: mm_tokens_per_image is ${tokens}, expected a square that ${tower.grid} · ${tower.grid} patches can be averaged to`,
		);
	const tokenId = outer.number(
		"image_token_index",
		outer.number("image_token_id", 262_144),
	);
	return { tower, pool, images: { tokens, tokenId, prompt: IMAGE_PROMPT } };
}

function visionWeights(
	w: Weights,
	{ tower }: NonNullable<ReturnType<typeof readVision>>,
	D: number,
) {
	const at = known(TOWERS, (name) => w.has(`${name}.post_layernorm`));
	const projector = known(PROJECTORS, (name) =>
		w.has(`${name}.mm_soft_emb_norm`),
	);
	return {
		tower: siglipWeights(w, at, tower),
		norm: w(`${projector}.mm_soft_emb_norm`, [tower.D], onePlus),
		projection: w.transposed(`${projector}.mm_input_projection_weight`, [
			D,
			tower.D,
		]),
	};
}

/** What no published Gemma 3 uses and this file does not compute. */
function refuseUnknown(hf: Config): void {
	const act = hf.text("hidden_activation", "gelu_pytorch_tanh");
	if (act !== "gelu_pytorch_tanh")
		throw new UnsupportedError(
			`${hf.file}: hidden_activation is "${act}", expected "gelu_pytorch_tanh"`,
		);
	for (const key of ["attn_logit_softcapping", "final_logit_softcapping"]) {
		const cap = hf.number(key, 0);
		if (cap !== 0)
			throw new UnsupportedError(`${hf.file}: ${key} is ${cap}, expected null`);
	}
	if (hf.flag("use_bidirectional_attention", false))
		throw new UnsupportedError(
			`${hf.file}: use_bidirectional_attention is true, expected false: text is read from front to back`,
		);
}

/** Whether layer i sees everything: listed, or every sixth. */
function fullLayers(hf: Config): (i: number) => boolean {
	const types = hf.texts("layer_types");
	if (types) return (i) => types[i] === "full_attention";
	const pattern = readSize(
		hf,
		"sliding_window_pattern",
		hf.number("_sliding_window_pattern", 6),
	);
	return (i) => (i + 1) % pattern === 0;
}

/** Full layers turn slower and may be scaled; sliding ones never are. */
function readRopes(hf: Config, d: number) {
	const each = hf.section("rope_parameters");
	const scaling = each?.section("full_attention") ?? hf.section("rope_scaling");
	const theta = hf.number("rope_theta", 1_000_000);
	const localTheta = hf.number("rope_local_base_freq", 10_000);
	return {
		full: makeRope(hf, d, theta, scaling),
		sliding: makeRope(hf, d, localTheta, each?.section("sliding_attention")),
	};
}

/** The nearest number with 8 significant bits, ties to even. */
function toBf16(x: number): number {
	const bits = new Uint32Array(new Float32Array([x]).buffer);
	bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
	return new Float32Array(bits.buffer)[0]!;
}
