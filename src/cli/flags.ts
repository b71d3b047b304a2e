/** What a flag's text is read as. */
export interface FlagValues {
	flag: boolean;
	text: string;
	texts: readonly string[];
	integer: number;
	number: number;
	ids: readonly number[];
}

interface Flag {
	readonly kind: keyof FlagValues;
	/** What the value stands for in --help. */
	readonly value?: string;
	readonly about: string;
}

/** Every flag of every command: a flag means the same wherever it is accepted. */
export const flags = {
	model: {
		kind: "text",
		value: "SOURCE",
		about:
			"checkpoint: a folder, a file, a URL, or owner/name on the Hub (default: the embedded model)",
	},
	file: {
		kind: "text",
		value: "PATH",
		about: "the checkpoint's file in SOURCE, where it has several",
	},
	revision: {
		kind: "text",
		value: "NAME",
		about: "branch, tag or commit of a model on the Hub (default: main)",
	},
	token: {
		kind: "text",
		value: "TOKEN",
		about: "token for the Hub (default: HF_TOKEN, or what hf auth login saved)",
	},
	endpoint: {
		kind: "text",
		value: "URL",
		about:
			"address of the Hub (default: HF_ENDPOINT, else https://huggingface.co)",
	},
	cache: {
		kind: "text",
		value: "FOLDER",
		about:
			"where files of the Hub are kept (default: HF_HUB_CACHE, else ~/.cache/huggingface/hub)",
	},
	"no-cache": { kind: "flag", about: "keep no files of the Hub" },
	offline: {
		kind: "flag",
		about: "use what is kept of the Hub, and ask nobody",
	},
	config: {
		kind: "text",
		value: "SOURCE",
		about:
			"folder of config.json and the tokenizer (default: that of the weights)",
	},
	mmproj: {
		kind: "text",
		value: "SOURCE",
		about: "the half that sees of a GGUF model: mmproj-….gguf",
	},
	threads: {
		kind: "integer",
		value: "N",
		about: "threads that compute (default: one per core)",
	},
	banks: {
		kind: "integer",
		value: "N",
		about: "memories that hold the weights (default: as many as they need)",
	},
	"context-tokens": {
		kind: "integer",
		value: "N",
		about: "most tokens of prompt and text together (default: the model's)",
	},
	kv: {
		kind: "text",
		value: "f32|f16|i8",
		about: "how keys and values are kept (default: f32)",
	},
	activations: {
		kind: "text",
		value: "defined|int8",
		about:
			"int8: round layers' inputs to integers also where the weights' definition takes floats",
	},
	kernels: {
		kind: "text",
		value: "simd|relaxed",
		about:
			"build of the kernels (default: relaxed where it computes correctly)",
	},
	prompt: { kind: "text", value: "TEXT", about: "text to start from" },
	ids: {
		kind: "ids",
		value: "1,2,3",
		about: "token ids to start from, as they are",
	},
	chat: {
		kind: "flag",
		about:
			"make the prompt a user's message in the model's chat template; implied by --system, --tools, --template and --thinking",
	},
	system: {
		kind: "text",
		value: "TEXT",
		about: "system message before the chat",
	},
	tools: {
		kind: "text",
		value: "FILE",
		about: "JSON file with the list of tools that a chat may call",
	},
	template: {
		kind: "text",
		value: "NAME",
		about:
			"which of the model's chat templates (default: tool_use where it has one and there are tools)",
	},
	image: {
		kind: "texts",
		value: "FILE",
		about:
			"PNG, JPEG or WebP file or its URL, to ask about; may be repeated; implies --chat",
	},
	thinking: { kind: "flag", about: "let the model reason before it answers" },
	"no-thinking": { kind: "flag", about: "answer at once" },
	"max-new-tokens": {
		kind: "integer",
		value: "N",
		about: "most tokens to generate (default: until the model stops)",
	},
	"min-new-tokens": {
		kind: "integer",
		value: "N",
		about: "tokens before the model may stop",
	},
	"ignore-eos": {
		kind: "flag",
		about: "go on after an end-of-sequence token",
	},
	stop: {
		kind: "texts",
		value: "TEXT",
		about: "end at this text; may be given several times",
	},
	greedy: { kind: "flag", about: "always take the most probable token" },
	sample: {
		kind: "flag",
		about: "draw tokens at random; implied by the flags below",
	},
	temperature: {
		kind: "number",
		value: "T",
		about: "below 1 more predictable, above 1 less; 0 is greedy",
	},
	"top-k": {
		kind: "integer",
		value: "K",
		about: "draw from the K most probable tokens; 0 is all",
	},
	"top-p": {
		kind: "number",
		value: "P",
		about: "draw from the fewest tokens whose probabilities reach P",
	},
	"min-p": {
		kind: "number",
		value: "P",
		about: "drop tokens below P times the most probable one",
	},
	"typical-p": {
		kind: "number",
		value: "P",
		about: "draw from the mass P of locally typical tokens",
	},
	"top-h": {
		kind: "number",
		value: "H",
		about: "draw from the best tokens up to a share H of their entropy",
	},
	"epsilon-cutoff": {
		kind: "number",
		value: "E",
		about: "drop tokens less probable than E",
	},
	"eta-cutoff": {
		kind: "number",
		value: "E",
		about: "drop tokens less probable than min(E, √E · e^-entropy)",
	},
	seed: {
		kind: "integer",
		value: "N",
		about: "where the random numbers start (default: drawn)",
	},
	"repetition-penalty": {
		kind: "number",
		value: "X",
		about: "above 1 discourages tokens that occurred",
	},
	"no-repeat-ngram-size": {
		kind: "integer",
		value: "N",
		about: "never repeat a run of N tokens",
	},
	all: {
		kind: "flag",
		about: "every position (logits), every tensor (inspect)",
	},
	tensor: {
		kind: "text",
		value: "NAME",
		about: "a tensor to write to the file of --save",
	},
	save: {
		kind: "text",
		value: "FILE",
		about: "write the tensor's values there, as float32 in NumPy's .npy format",
	},
	"no-special": { kind: "flag", about: "add no special tokens" },
	"prompt-tokens": {
		kind: "integer",
		value: "N",
		about: "length of the prompt (default: 512)",
	},
	"new-tokens": {
		kind: "integer",
		value: "N",
		about: "tokens to generate (default: 64)",
	},
	repeat: {
		kind: "integer",
		value: "N",
		about: "runs to measure (default: 3)",
	},
	profile: {
		kind: "flag",
		about:
			"say which kernels the time of a step goes to; slows it down a little",
	},
	json: { kind: "flag", about: "print JSON" },
	quiet: { kind: "flag", about: "show no progress bar" },
	help: { kind: "flag", about: "show this" },
} as const satisfies Record<string, Flag>;

export type FlagName = keyof typeof flags;

/** Values of the flags that were given. */
export type Values<Names extends FlagName> = {
	readonly [N in Names]?: FlagValues[(typeof flags)[N]["kind"]];
};

/** What says which checkpoint is meant, and how it is had. */
export const sourceFlags = [
	"model",
	"file",
	"config",
	"revision",
	"token",
	"endpoint",
	"cache",
	"no-cache",
	"offline",
] as const satisfies FlagName[];

export const modelFlags = [
	...sourceFlags,
	"mmproj",
	"threads",
	"banks",
	"context-tokens",
	"kv",
	"activations",
	"kernels",
	"quiet",
] as const satisfies FlagName[];

export const samplingFlags = [
	"max-new-tokens",
	"min-new-tokens",
	"ignore-eos",
	"stop",
	"greedy",
	"sample",
	"temperature",
	"top-k",
	"top-p",
	"min-p",
	"typical-p",
	"top-h",
	"epsilon-cutoff",
	"eta-cutoff",
	"seed",
	"repetition-penalty",
	"no-repeat-ngram-size",
] as const satisfies FlagName[];
