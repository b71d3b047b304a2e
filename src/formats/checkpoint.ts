import type { ByteSource } from "../sources/source.ts";
import type { Pte } from "./pte.ts";

/** A named byte range of a checkpoint: what a container reader yields, before anyone asks what the bits mean. */
export interface StoredTensor {
	/** Hugging Face name, whatever the container calls it. */
	readonly name: string;
	/** Logical shape in Hugging Face order, outermost first. */
	readonly shape: readonly number[];
	/** Element type as GGUF and safetensors spell it: "F32", "F16", "BF16", "I8", "Q4_0", "Q4_K", … */
	readonly type: string;
	/** Stored size. */
	readonly bytes: number;
	/** File that holds it, for error messages. */
	readonly file: string;
	/**
	 * Reads [offset, offset + length) of the tensor's bytes in canonical order (default: all of them), where the
	 * first dimension's rows are whole byte ranges of equal length. With `into` they are written there.
	 */
	read(
		offset?: number,
		length?: number,
		into?: Uint8Array,
	): Promise<Uint8Array>;
}

/** A container (safetensors, GGUF, a PyTorch archive, an ExecuTorch program) in Hugging Face terms: names, dimension order, head order and values. */
export interface Checkpoint {
	readonly container: "safetensors" | "gguf" | "torch" | "pte";
	/** What a person would call it, for error messages. */
	readonly name: string;
	/** config.json, or its equivalent built from the container's metadata. */
	readonly config: Readonly<Record<string, unknown>>;
	readonly tensors: ReadonlyMap<string, StoredTensor>;
	/** generation_config.json, or its equivalent. */
	readonly generationConfig: Readonly<Record<string, unknown>>;
	readonly origins: Origins;
	/** What text/tokenizer.ts builds a tokenizer from; undefined where the checkpoint has none. */
	readonly tokenizer: TokenizerFiles | undefined;
	/** preprocessor_config.json: what is done to an image before the model sees it. */
	readonly processor?: Readonly<Record<string, unknown>>;
	/** Free-form metadata of the container, for `inspect`. */
	readonly metadata: Readonly<Record<string, unknown>>;
	/** What an ExecuTorch program holds besides tensors. */
	readonly program?: Pte;
	/** Why no model can be loaded from it, although its tensors can be read. */
	readonly unsupported?: string | undefined;
	close(): Promise<void>;
}

/** What configurations were read from, for error messages: "smol: config.json", "smol.gguf: metadata". */
export interface Origins {
	readonly config: string;
	readonly generationConfig: string;
	readonly processor: string;
}

/** What a tokenizer is built from: the files of a Hugging Face folder, or the metadata of a GGUF file. */
export type TokenizerFiles =
	| {
			readonly kind: "files";
			/** tokenizer.json */
			readonly tokenizer: Readonly<Record<string, unknown>>;
			/** tokenizer_config.json, empty where there is none. */
			readonly config: Readonly<Record<string, unknown>>;
			/** chat_template.jinja, which wins over the config's `chat_template`. */
			readonly chatTemplate?: string;
			/** The files of additional_chat_templates/, by name without ending. */
			readonly namedChatTemplates?: Readonly<Record<string, string>>;
	  }
	| {
			readonly kind: "gguf";
			/**
			 * Every key of the file, those below "tokenizer." among them. Values are number, bigint (64-bit integers
			 * beyond 2^53), boolean, string, or a plain array of one of these, decoded when it is first asked for.
			 */
			readonly metadata: ReadonlyMap<string, unknown>;
	  };

/** What the files of one container hold. A container that knows no config.json says nothing of it. */
export interface Contents {
	readonly tensors: ReadonlyMap<string, StoredTensor>;
	readonly metadata: Readonly<Record<string, unknown>>;
	readonly config?: Readonly<Record<string, unknown>>;
	readonly generationConfig?: Readonly<Record<string, unknown>>;
	readonly origins?: Origins;
	readonly tokenizer?: TokenizerFiles;
	readonly program?: Pte;
	readonly unsupported?: string | undefined;
	/**
	 * What becomes of it beside a config.json, for a container that can be opened without one but needs it for its tensors'
	 * names.
	 */
	complete?(config: Checkpoint["config"]): Promise<Completed>;
}

export type Completed = Partial<
	Pick<Contents, "tensors" | "config" | "unsupported">
>;

/** Where a container file lies: its name there, and the files beside it. */
export interface Folder {
	readonly file: string;
	/** Opens a file by its name relative to this folder; undefined where there is none, or where a file was opened alone. */
	open(file: string): Promise<ByteSource | undefined>;
}

/** A container: recognized by its first bytes, read by `open`. One per file in formats/, listed in open.ts. */
export interface Format {
	readonly name: Checkpoint["container"];
	/** Given the first 16 bytes, or all of a shorter file. */
	matches(head: Uint8Array): boolean;
	/** The caller closes `source` and what `folder` opened, also after an error. */
	open(source: ByteSource, folder: Folder): Promise<Contents>;
}
