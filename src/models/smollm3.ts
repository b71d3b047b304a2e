/**
 * SmolLM3: Llama, except that every fourth layer does not rotate its queries and keys (NoPE).
 * After transformers/models/smollm3/modeling_smollm3.py.
 */
import { CheckpointError } from "../errors.ts";
import { architecture } from "./architecture.ts";
import { readSize } from "./config.ts";
import { llama } from "./llama.ts";
import { readRope } from "./rope.ts";

export const smollm3 = architecture({
	...llama,
	names: ["SmolLM3ForCausalLM"],

	config(hf) {
		const c = llama.config(hf);
		const every = readSize(hf, "no_rope_layer_interval", 4);
		const listed = hf.numbers("no_rope_layers");
		if (listed !== undefined && listed.length !== c.L)
			throw new CheckpointError(
				`${hf.file}: no_rope_layers has ${listed.length} entries, expected ${c.L}, one per layer`,
			);
		// The key means the opposite of its name: 1 rotates, 0 does not.
		const rotary = c.rotary.map((_, i) =>
			listed ? listed[i] !== 0 : (i + 1) % every !== 0,
		);
		const sliding = hf.flag("use_sliding_window", false)
			? hf.number("sliding_window", 0)
			: 0;
		const types = hf.texts("layer_types");
		const slides = (i: number) =>
			types ? types[i] === "sliding_attention" : !rotary[i];
		return {
			...c,
			rope: readRope(hf, c.d, 2_000_000),
			rotary,
			windows: rotary.map((_, i) =>
				sliding > 0 && slides(i) ? sliding : undefined,
			),
			tied: hf.flag("tie_word_embeddings", true),
			contextTokens: readSize(hf, "max_position_embeddings", 32_768),
		};
	},
});
