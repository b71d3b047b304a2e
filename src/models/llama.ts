/**
 * Llama: a pre-norm decoder with rotary grouped-query attention and a SwiGLU feed-forward. Serves SmolLM2.
 * After transformers/models/llama/modeling_llama.py.
 *
 * T rows in the step   O rows whose logits are wanted
 * L layers   D hidden size   H query heads   K key/value heads   d head size   F feed-forward   V vocabulary
 */
import { CheckpointError, UnsupportedError } from "../errors.ts";
import { architecture } from "./architecture.ts";
import { readHeadSize, readLayers, readSize } from "./config.ts";
import { readRope } from "./rope.ts";

export const llama = architecture({
	names: ["LlamaForCausalLM"],

	config(hf) {
		const L = readLayers(hf);
		const D = readSize(hf, "hidden_size");
		const H = readSize(hf, "num_attention_heads");
		const d = readHeadSize(hf, D / H);
		const K = readSize(hf, "num_key_value_heads", H);
		if (H % K !== 0)
			throw new CheckpointError(
				`${hf.file}: num_attention_heads is ${H}, expected a multiple of num_key_value_heads, ${K}`,
			);
		const act = hf.text("hidden_act", "silu");
		if (act !== "silu")
			throw new UnsupportedError(
				`${hf.file}: hidden_act is "${act}", expected "silu"`,
			);
		return {
			L,
			D,
			H,
			K,
			d,
			F: readSize(hf, "intermediate_size"),
			V: readSize(hf, "vocab_size"),
			eps: hf.number("rms_norm_eps"),
			rope: readRope(hf, d, 10_000),
			/** Per layer: whether queries and keys are rotated. */
			rotary: new Array<boolean>(L).fill(true),
			/** Per layer: how far back a token looks; undefined is all the way. */
			windows: new Array<number | undefined>(L).fill(undefined),
			attentionBias: hf.flag("attention_bias", false),
			mlpBias: hf.flag("mlp_bias", false),
			tied: hf.flag("tie_word_embeddings", false),
			contextTokens: readSize(hf, "max_position_embeddings", 2048),
		};
	},

	weights(w, { L, D, H, K, d, F, V, tied, attentionBias, mlpBias }) {
		const embed = w("model.embed_tokens", [V, D]);
		return {
			embed,
			layers: w.layers(L, "model.layers", (w) => {
				const projection = (
					name: string,
					[n, k]: [number, number],
					bias: boolean,
				) => ({
					weight: w(name, [n, k]),
					bias: bias ? w(`${name}.bias`, [n]) : undefined,
				});
				return {
					attnNorm: w("input_layernorm", [D]),
					q: projection("self_attn.q_proj", [H * d, D], attentionBias),
					k: projection("self_attn.k_proj", [K * d, D], attentionBias),
					v: projection("self_attn.v_proj", [K * d, D], attentionBias),
					o: projection("self_attn.o_proj", [D, H * d], attentionBias),
					ffnNorm: w("post_attention_layernorm", [D]),
					gate: projection("mlp.gate_proj", [F, D], mlpBias),
					up: projection("mlp.up_proj", [F, D], mlpBias),
					down: projection("mlp.down_proj", [D, F], mlpBias),
				};
			}),
			norm: w("model.norm", [D]),
			head: tied ? embed : w("lm_head", [V, D]),
		};
	},

	forward(g, w, c) {
		let x = g.embed(w.embed); // [T, D]
		for (const [i, l] of w.layers.entries()) {
			const h = g.rmsNorm(x, l.attnNorm, c.eps); // [T, D]
			let q = g.heads(g.linear(h, l.q), c.H); // [T, H, d]
			let k = g.heads(g.linear(h, l.k), c.K); // [T, K, d]
			const v = g.heads(g.linear(h, l.v), c.K); // [T, K, d]
			if (c.rotary[i]) {
				q = g.rope(q, c.rope);
				k = g.rope(k, c.rope);
			}
			const a = g.attention(q, k, v, { cache: i, window: c.windows[i] }); // [T, H·d]
			x = g.add(x, g.linear(a, l.o)); // [T, D]

			const m = g.rmsNorm(x, l.ffnNorm, c.eps); // [T, D]
			const f = g.swiglu(g.linear(m, l.gate), g.linear(m, l.up)); // [T, F]
			x = g.add(x, g.linear(f, l.down)); // [T, D]
		}
		return g.linear(g.rmsNorm(g.outputs(x), w.norm, c.eps), { weight: w.head }); // [O, V]
	},
});
