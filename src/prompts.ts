import { CheckpointError, OptionError, UnsupportedError } from "./errors.ts";
import {
	assignImages,
	expandImages,
	imagesIn,
	runsOf,
} from "./image-tokens.ts";
import type { ImageInput, Images } from "./images.ts";
import type {
	ChatOptions,
	ChatTemplate,
	Message,
} from "./text/chat-template.ts";
import type { Tokenizer } from "./text/tokenizer.ts";
import type { PanAndScan } from "./vision/crops.ts";

/**
 * What to continue: a text, as it is; a conversation, put into the model's chat template; or token ids.
 */
export type Prompt =
	| string
	| readonly Message[]
	| { readonly ids: readonly number[] };

/** Options for models that see. */
export interface ImageOptions {
	/**
	 * Images, in order: for the placeholders of a text (Gemma 3's is `<start_of_image>`), for the runs of soft tokens among
	 * token ids, or for those image parts of messages that do not bring their own.
	 * @default none
	 */
	readonly images?: readonly ImageInput[] | undefined;
	/**
	 * Whether to show the model crops of a long image as well, and how many of which size.
	 * @default as the checkpoint's processor says; Gemma 3's does not
	 */
	readonly panAndScan?: boolean | PanAndScan | undefined;
}

/** A prompt on its way to the engine. */
export interface EncodedPrompt {
	readonly ids: number[];
	/** Index of the first soft token of each image and crop. */
	readonly starts: readonly number[];
	/** Patches of each of them. */
	readonly patches: readonly Float32Array[];
}

/** What prompts are read with. */
export interface PromptReaders {
	readonly tokenizer: Tokenizer | undefined;
	readonly chatTemplate: ChatTemplate | undefined;
	/** Undefined for a model that only reads. */
	readonly images: Images | undefined;
	readonly info: { readonly name: string; readonly vocabularySize: number };
}

/** Turns prompts of all kinds into token ids and patches of images. */
export class Prompts {
	readonly #of: PromptReaders;

	constructor(readers: PromptReaders) {
		this.#of = readers;
	}

	/** Throws UnsupportedError where the checkpoint has no tokenizer. */
	get tokenizer(): Tokenizer {
		const { tokenizer, info } = this.#of;
		if (!tokenizer)
			throw new UnsupportedError(
				`${info.name}: has no tokenizer, only token ids can be given`,
			);
		return tokenizer;
	}

	/** Throws UnsupportedError where the checkpoint has no chat template. */
	get chatTemplate(): ChatTemplate {
		const { chatTemplate, info } = this.#of;
		if (!chatTemplate)
			throw new UnsupportedError(
				`${info.name}: has no chat template, expected a text as prompt instead of messages`,
			);
		return chatTemplate;
	}

	/**
	 * Token ids of a prompt, and the patches of its images with where their soft tokens begin. No image is encoded yet.
	 * Rejects with OptionError, UnsupportedError, CheckpointError, or what reading an image rejects with.
	 */
	async encode(
		prompt: Prompt,
		options: ChatOptions & ImageOptions & { signal?: AbortSignal | undefined },
	): Promise<EncodedPrompt> {
		const given = options.images ?? [];
		if (typeof prompt !== "string" && "ids" in prompt) {
			const patches = await this.#patches(given, options);
			return this.#place(this.#checkIds([...prompt.ids], "ids"), patches);
		}
		const isText = typeof prompt === "string";
		const rendered = isText
			? prompt
			: this.chatTemplate.render(prompt, {
					addGenerationPrompt: true,
					...options,
				});
		const patches = await this.#patches(
			isText ? given : assignImages(imagesIn(prompt), given),
			options,
		);
		const { images } = this.#of;
		const crops = patches.map((each) => each.length - 1);
		const text = images ? expandImages(rendered, images, crops) : rendered;
		const ids = this.tokenizer.encode(text, { addSpecialTokens: isText });
		return this.#place(this.#checkIds(ids, "prompt"), patches);
	}

	/** Patches of each image and its crops. */
	async #patches(
		given: readonly ImageInput[],
		options: Parameters<Images["read"]>[1],
	): Promise<Float32Array[][]> {
		const { images, info } = this.#of;
		if (given.length > 0 && !images)
			throw new UnsupportedError(
				`${info.name}: this model reads text only, found ${given.length} images`,
			);
		const patches: Float32Array[][] = [];
		for (const image of given) patches.push(await images!.read(image, options));
		return patches;
	}

	#place(ids: number[], images: readonly Float32Array[][]): EncodedPrompt {
		const sizes = this.#of.images;
		const patches = images.flat();
		return { ids, patches, starts: sizes ? runsOf(ids, sizes, patches) : [] };
	}

	#checkIds(ids: number[], what: string): number[] {
		const size = this.#of.info.vocabularySize;
		const wrong = ids.find(
			(id) => !Number.isInteger(id) || id < 0 || id >= size,
		);
		if (wrong === undefined) return ids;
		if (what === "ids")
			throw new OptionError(
				`ids: found ${wrong}, expected whole numbers from 0 to ${size - 1}`,
			);
		throw new CheckpointError(
			`${this.#of.info.name}: the tokenizer gives token ${wrong}, the model knows ${size}; they do not belong together`,
		);
	}
}
