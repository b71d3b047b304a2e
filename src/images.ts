import { CheckpointError, ImageError, UnsupportedError } from "./errors.ts";
import type { ImageSizes } from "./models/architecture.ts";
import { blobSource } from "./sources/blob.ts";
import type { ByteSource } from "./sources/source.ts";
import { urlSource } from "./sources/url.ts";
import { cropsOf, type PanAndScan } from "./vision/crops.ts";
import { decodeImage, type WebpModule } from "./vision/decode.ts";
import type { RawImage, Rgb } from "./vision/image.ts";
import { type Processor, patchesOf } from "./vision/patches.ts";
import { toRgb } from "./vision/rgb.ts";

/**
 * An image: the bytes of a PNG, JPEG or WebP file, or where they are (a path, an http(s) or data URL, a Blob or File), or
 * pixels. Alpha is ignored; what a file's EXIF data says of its orientation counts.
 */
export type ImageInput =
	| string
	| URL
	| Uint8Array
	| ArrayBuffer
	| Blob
	| RawImage;

/** How a loaded model takes images. */
export interface Images extends ImageSizes {
	/**
	 * The patches of an image, and with `panAndScan` those of its crops after it, each for the encoder. Rejects with
	 * ImageError, SourceError, UnsupportedError or the signal's reason.
	 */
	read(
		image: ImageInput,
		options?: {
			panAndScan?: boolean | PanAndScan | undefined;
			signal?: AbortSignal | undefined;
		},
	): Promise<Float32Array[]>;
}

/** What reading images takes from the runtime. */
export interface ImageReaders {
	readonly openPath?:
		| ((path: string) => Promise<ByteSource | { list(): unknown } | undefined>)
		| undefined;
	readonly webpModule?: WebpModule | undefined;
}

/** Larger files are refused unread. */
const MAX_FILE_BYTES = 2 ** 28;

/**
 * @param processor preprocessor_config.json, empty where there is none
 * @param where what it was read from, for error messages
 */
export function createImages(
	sizes: ImageSizes,
	processor: Readonly<Record<string, unknown>>,
	readers: ImageReaders,
	where: string,
): Images {
	const settings = readProcessor(processor, sizes, where);
	const defaultCrops = processor.do_pan_and_scan === true;
	return {
		...sizes,
		async read(input, { panAndScan = defaultCrops, signal } = {}) {
			const image = await readImage(input, readers, signal);
			signal?.throwIfAborted();
			const crops = panAndScan
				? cropsOf(image, panAndScan === true ? {} : panAndScan)
				: [];
			return [image, ...crops].map((part) => patchesOf(part, settings));
		},
	};
}

async function readImage(
	input: ImageInput,
	readers: ImageReaders,
	signal: AbortSignal | undefined,
): Promise<Rgb> {
	if (isRaw(input)) return toRgb(input, "image");
	if (input instanceof Uint8Array || input instanceof ArrayBuffer) {
		const bytes = input instanceof Uint8Array ? input : new Uint8Array(input);
		return decodeImage(bytes, "image", readers.webpModule);
	}
	if (typeof input === "string" && /^data:/i.test(input))
		return decodeImage(dataUrlBytes(input), "data URL", readers.webpModule);
	const source = await openImage(input, readers, signal);
	try {
		const { name, size } = source;
		if (size > MAX_FILE_BYTES)
			throw new ImageError(
				`${name}: ${size} bytes, expected at most ${MAX_FILE_BYTES} of an image`,
			);
		const bytes = await source.read(0, size);
		return await decodeImage(bytes, name, readers.webpModule);
	} finally {
		await source.close?.();
	}
}

const isRaw = (input: ImageInput): input is RawImage =>
	typeof input === "object" && "width" in input && "data" in input;

async function openImage(
	input: ImageInput,
	{ openPath }: ImageReaders,
	signal: AbortSignal | undefined,
): Promise<ByteSource> {
	if (input instanceof Blob) return blobSource(input);
	const isUrl =
		input instanceof URL
			? input.protocol !== "file:"
			: typeof input === "string" && /^https?:\/\//i.test(input);
	if (isUrl) return urlSource(input as string | URL, signal ? { signal } : {});
	if (typeof input !== "string" && !(input instanceof URL))
		throw new ImageError(
			`image is ${String(input)}, expected a path, a URL, a data URL, bytes, a Blob, or pixels { width, height, data }`,
		);
	const path = typeof input === "string" ? input : filePath(input);
	if (!openPath)
		throw new UnsupportedError(
			`${path}: this runtime has no file system, expected a URL, a data URL, bytes, a Blob or pixels`,
		);
	const found = await openPath(path);
	if (!found || !("read" in found))
		throw new ImageError(`${path}: no such file`);
	return found;
}

/** The path of a file: URL; on Windows without the slash before its drive. */
const filePath = ({ pathname }: URL): string =>
	decodeURIComponent(pathname).replace(/^\/([A-Za-z]:)/, "$1");

/** data:[type][;base64],content */
function dataUrlBytes(url: string): Uint8Array {
	const comma = url.indexOf(",");
	const content = url.slice(comma + 1);
	try {
		if (comma < 0) throw new Error("there is no comma in it");
		const text = decodeURIComponent(content);
		if (!/;base64$/i.test(url.slice(0, comma)))
			throw new Error("it is not base64");
		return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
	} catch (error) {
		const reason = error instanceof Error ? error.message : error;
		throw new ImageError(`data URL: cannot be read: ${reason}`);
	}
}

/** Throws CheckpointError or UnsupportedError where the file asks for what is not done here. */
function readProcessor(
	file: Readonly<Record<string, unknown>>,
	{ pixels, patch }: ImageSizes,
	name: string,
): Processor {
	const three = (key: string): readonly number[] => {
		const value = file[key] ?? [0.5, 0.5, 0.5];
		if (
			Array.isArray(value) &&
			value.length === 3 &&
			value.every((x) => Number.isFinite(x))
		)
			return value;
		throw new CheckpointError(
			`${name}: key "${key}" is ${JSON.stringify(value)}, expected three numbers`,
		);
	};
	const size = (file.size ?? {}) as Record<string, unknown>;
	for (const side of ["width", "height"])
		if ((size[side] ?? pixels) !== pixels)
			throw new CheckpointError(
				`${name}: size.${side} is ${size[side]}, expected the vision tower's ${pixels}`,
			);
	if ((file.resample ?? 2) !== 2)
		throw new UnsupportedError(
			`${name}: resample is ${file.resample}, expected 2, bilinear`,
		);
	const normalizes = file.do_normalize !== false;
	const rescales = file.do_rescale !== false;
	const rescale = rescales ? (file.rescale_factor ?? 1 / 255) : 1;
	if (typeof rescale !== "number" || !Number.isFinite(rescale))
		throw new CheckpointError(
			`${name}: key "rescale_factor" is ${JSON.stringify(rescale)}, expected a number`,
		);
	return {
		pixels,
		patch,
		rescale,
		mean: normalizes ? three("image_mean") : [0, 0, 0],
		std: normalizes ? three("image_std") : [1, 1, 1],
	};
}
