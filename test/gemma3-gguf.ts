import { openCheckpoint } from "../src/formats/open.ts";
import { fixtureJson } from "./fixture.ts";
import { nanoGemma3 } from "./nano-gemma3.ts";
import { type WriteTensor, type WriteValue, writeGguf } from "./write-gguf.ts";

const F32 = 0;
const BF16 = 30;
const CONTROL = 3;
const BYTE = 6;

const TEXT: Record<string, string> = {
	"self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k",
	"self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output",
	"self_attn.q_norm": "attn_q_norm",
	"self_attn.k_norm": "attn_k_norm",
	"mlp.gate_proj": "ffn_gate",
	"mlp.up_proj": "ffn_up",
	"mlp.down_proj": "ffn_down",
	input_layernorm: "attn_norm",
	post_attention_layernorm: "post_attention_norm",
	pre_feedforward_layernorm: "ffn_norm",
	post_feedforward_layernorm: "post_ffw_norm",
};

const VISION: Record<string, string> = {
	"self_attn.q_proj": "attn_q",
	"self_attn.k_proj": "attn_k",
	"self_attn.v_proj": "attn_v",
	"self_attn.out_proj": "attn_out",
	layer_norm1: "ln1",
	layer_norm2: "ln2",
	"mlp.fc1": "ffn_up",
	"mlp.fc2": "ffn_down",
};

const OUTER: Record<string, string> = {
	"language_model.model.embed_tokens.weight": "token_embd.weight",
	"language_model.model.norm.weight": "output_norm.weight",
	"multi_modal_projector.mm_soft_emb_norm.weight": "mm.soft_emb_norm.weight",
	"multi_modal_projector.mm_input_projection_weight":
		"mm.input_projection.weight",
};

/** llama.cpp's name of a tensor of the model. */
function ggufName(name: string): string {
	if (OUTER[name]) return OUTER[name];
	const [, tower, layer, module = "", kind] =
		/^(?:language_model\.model|(vision_tower)\.vision_model\.encoder)\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(
			name,
		) ?? [];
	if (layer === undefined)
		return name
			.replace("vision_tower.vision_model.", "v.")
			.replace("embeddings.patch_embedding", "patch_embd")
			.replace("embeddings.position_embedding", "position_embd")
			.replace("post_layernorm", "post_ln");
	return tower
		? `v.blk.${layer}.${VISION[module]}.${kind}`
		: `blk.${layer}.${TEXT[module]}.${kind}`;
}

/** nano-gemma3 as the two files that llama.cpp's converter makes of such a model. */
export async function ggufNanoGemma3(): Promise<{
	text: Uint8Array;
	mmproj: (swapped: boolean) => Uint8Array;
}> {
	const checkpoint = await openCheckpoint(nanoGemma3());
	const tensors: WriteTensor[] = [];
	for (const { name, shape, read } of checkpoint.tensors.values()) {
		const stored = await read();
		const isPlusOne = /norm.weight$/.test(name) && !name.includes("tower");
		const asF32 = shape.length === 1 || name.includes("position");
		tensors.push({
			name: ggufName(name),
			sizes: [...shape].reverse(),
			type: asF32 ? F32 : BF16,
			data: asF32 ? widened(stored, isPlusOne ? 1 : 0) : stored,
		});
	}
	const isVision = ({ name }: { name: string }) => /^(v|mm)\./.test(name);
	return {
		text: writeGguf({
			keys: textKeys(),
			tensors: tensors.filter((tensor) => !isVision(tensor)),
		}),
		mmproj: (swapped) =>
			writeGguf({
				keys: visionKeys(),
				tensors: tensors.filter(isVision).map((tensor) => ({
					...tensor,
					name: swapped
						? tensor.name.replace(/ffn_(up|down)/, (_, side) =>
								side === "up" ? "ffn_down" : "ffn_up",
							)
						: tensor.name,
				})),
			}),
	};
}

/** f32 of bf16, and something added. */
function widened(bf16: Uint8Array, plus: number): Uint8Array {
	const codes = new Uint16Array(Uint8Array.from(bf16).buffer);
	const bits = Uint32Array.from(codes, (code) => code << 16);
	const values = new Float32Array(bits.buffer).map((x) => x + plus);
	return new Uint8Array(values.buffer);
}

function textKeys(): [string, WriteValue][] {
	const { text_config: c } = fixtureJson("nano-gemma3/config.json");
	const { model, added_tokens } = fixtureJson("nano-gemma3/tokenizer.json");
	const { chat_template } = fixtureJson("nano-gemma3/tokenizer_config.json");
	const tokens = new Array<string>(c.vocab_size).fill("");
	for (const [token, id] of Object.entries<number>(model.vocab))
		tokens[id] = token;
	const added = new Set<number>();
	for (const { id, content } of added_tokens) {
		tokens[id] = content;
		added.add(id);
	}
	const ranks = new Map<string, number>(
		model.merges.map(([a, b]: [string, string], i: number) => [a + b, -i - 1]),
	);
	const typeOf = (token: string, id: number) =>
		added.has(id) ? CONTROL : token.startsWith("<0x") ? BYTE : 1;
	const keys: Record<string, WriteValue> = {
		"general.architecture": { string: "gemma3" },
		"gemma3.context_length": { u32: c.max_position_embeddings },
		"gemma3.embedding_length": { u32: c.hidden_size },
		"gemma3.block_count": { u32: c.num_hidden_layers },
		"gemma3.feed_forward_length": { u32: c.intermediate_size },
		"gemma3.attention.head_count": { u32: c.num_attention_heads },
		"gemma3.attention.head_count_kv": { u32: c.num_key_value_heads },
		"gemma3.attention.key_length": { u32: c.head_dim },
		"gemma3.attention.value_length": { u32: c.head_dim },
		"gemma3.attention.sliding_window": { u32: c.sliding_window },
		"gemma3.attention.layer_norm_rms_epsilon": { f32: c.rms_norm_eps },
		"gemma3.rope.freq_base": { f32: c.rope_theta },
		"gemma3.rope.scaling.type": { string: "linear" },
		"gemma3.rope.scaling.factor": { f32: c.rope_scaling.factor },
		"tokenizer.ggml.model": { string: "llama" },
		"tokenizer.ggml.pre": { string: "default" },
		"tokenizer.ggml.tokens": { array: tokens.map((string) => ({ string })) },
		"tokenizer.ggml.scores": {
			array: tokens.map((token) => ({ f32: ranks.get(token) ?? -1e4 })),
		},
		"tokenizer.ggml.token_type": {
			array: tokens.map((token, id) => ({ i32: typeOf(token, id) })),
		},
		"tokenizer.ggml.bos_token_id": { u32: 2 },
		"tokenizer.ggml.eos_token_id": { u32: 1 },
		"tokenizer.ggml.unknown_token_id": { u32: 3 },
		"tokenizer.ggml.padding_token_id": { u32: 0 },
		"tokenizer.ggml.add_bos_token": { bool: true },
		"tokenizer.ggml.add_space_prefix": { bool: false },
		"tokenizer.chat_template": { string: chat_template },
	};
	return Object.entries(keys);
}

function visionKeys(): [string, WriteValue][] {
	const { vision_config: c } = fixtureJson("nano-gemma3/config.json");
	const half = { array: [{ f32: 0.5 }, { f32: 0.5 }, { f32: 0.5 }] };
	const keys: Record<string, WriteValue> = {
		"general.architecture": { string: "clip" },
		"general.type": { string: "mmproj" },
		"clip.projector_type": { string: "gemma3" },
		"clip.has_vision_encoder": { bool: true },
		"clip.use_gelu": { bool: true },
		"clip.vision.image_size": { u32: c.image_size },
		"clip.vision.patch_size": { u32: c.patch_size },
		"clip.vision.embedding_length": { u32: c.hidden_size },
		"clip.vision.feed_forward_length": { u32: c.intermediate_size },
		"clip.vision.block_count": { u32: c.num_hidden_layers },
		"clip.vision.attention.head_count": { u32: c.num_attention_heads },
		"clip.vision.attention.layer_norm_epsilon": { f32: c.layer_norm_eps },
		"clip.vision.projector.scale_factor": { u32: 2 },
		"clip.vision.image_mean": half,
		"clip.vision.image_std": half,
	};
	return Object.entries(keys);
}
