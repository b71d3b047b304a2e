import { OptionError } from "./errors.ts";
import type { ImageInput } from "./images.ts";
import type { ImagePrompt, ImageSizes } from "./models/architecture.ts";
import type { Message } from "./text/chat-template.ts";

/** The images that messages hold, in order; undefined for a part that does not say which image it is. */
export function imagesIn(
	messages: readonly Message[],
): (ImageInput | undefined)[] {
	return messages.flatMap(({ content }) => {
		if (!Array.isArray(content)) return [];
		return content.flatMap((part: Record<string, unknown>) => {
			const { type, image_url } = part;
			if (type === "image")
				return [
					(part.image ?? part.url ?? part.path) as ImageInput | undefined,
				];
			if (type !== "image_url" && type !== "input_image") return [];
			const { url } = Object(image_url) as { url?: unknown };
			return [(url ?? image_url) as ImageInput | undefined];
		});
	});
}

/** Images for a prompt's placeholders: those that are said there, and for the others the given ones in turn. Throws OptionError. */
export function assignImages(
	placed: readonly (ImageInput | undefined)[],
	given: readonly ImageInput[],
): ImageInput[] {
	const rest = [...given];
	const images = placed.map((image) => image ?? rest.shift());
	const missing = images.filter((image) => image === undefined).length;
	if (missing > 0 || rest.length > 0)
		throw new OptionError(
			`images: found ${given.length}, expected ${given.length + missing - rest.length}, one for each image part of the messages without its own`,
		);
	return images as ImageInput[];
}

/**
 * The text with every placeholder written out for its image, and the crops of it.
 * @param crops number of crops per image
 * @throws OptionError where there are more or fewer placeholders than images
 */
export function expandImages(
	text: string,
	{ prompt, tokens }: Pick<ImageSizes, "prompt" | "tokens">,
	crops: readonly number[],
): string {
	const pieces = text.split(prompt.placeholder);
	if (pieces.length - 1 !== crops.length)
		throw new OptionError(
			`images: found ${crops.length}, but ${pieces.length - 1} times ${prompt.placeholder} in the prompt, expected one for each`,
		);
	const image = prompt.before + prompt.token.repeat(tokens) + prompt.after;
	return pieces.reduce((before, after, i) => {
		const more = new Array<string>(crops[i - 1]!).fill(image).join(" ");
		return before + (more ? withCrops(prompt, image, more) : image) + after;
	});
}

const withCrops = (
	{ crops: [before, between] }: ImagePrompt,
	image: string,
	crops: string,
): string => before + image + between + crops;

/** Where soft tokens begin among token ids: at runs of `tokenId`. Throws OptionError where these are not as many or as long as there are images. */
export function runsOf(
	ids: readonly number[],
	{ tokens, tokenId }: Pick<ImageSizes, "tokens" | "tokenId">,
	images: readonly unknown[],
): number[] {
	const starts = ids.flatMap((id, i) =>
		id === tokenId && ids[i - 1] !== tokenId ? [i] : [],
	);
	const lengths = starts.map((start) => {
		let end = start;
		while (ids[end] === tokenId) end++;
		return end - start;
	});
	if (
		starts.length !== images.length ||
		lengths.some((length) => length !== tokens)
	)
		throw new OptionError(
			`images: found ${images.length}, but runs of the image token ${tokenId} in the prompt of lengths [${lengths.join(", ")}], expected one of ${tokens} for each image`,
		);
	return starts;
}
