import { ImageError, UnsupportedError } from "../errors.ts";
import { bareCopy } from "./bare.ts";
import type { RawImage } from "./image.ts";

/** Deno's canvas shows what a graphics card drew, and nothing else: it has no context to draw images in. */
export const hasCanvas = (): boolean =>
	typeof createImageBitmap === "function" &&
	typeof OffscreenCanvas === "function" &&
	new OffscreenCanvas(1, 1).getContext("2d") !== null;

/** Has the browser decode a JPEG or WebP file: not turned, no colour converted. Rejects with ImageError, UnsupportedError. */
export async function decodeOnCanvas(
	bytes: Uint8Array,
	format: "jpeg" | "webp",
	where: string,
): Promise<RawImage> {
	const bitmap = await openBitmap(bytes, format).catch((error: unknown) => {
		throw new ImageError(
			`${where}: ${format.toUpperCase()} cannot be decoded: ${String(error)}`,
			{ cause: error },
		);
	});
	const { width, height } = bitmap;
	try {
		// Photos have no alpha, and a texture costs more than it gives.
		const exact = format === "webp" && readTexture(bitmap);
		const data = exact || read2d(bitmap);
		if (data) return { width, height, data };
	} finally {
		bitmap.close();
	}
	throw new UnsupportedError(`${where}: this page has no canvas`);
}

async function openBitmap(
	bytes: Uint8Array,
	format: "jpeg" | "webp",
): Promise<ImageBitmap> {
	const blob = new Blob([bareCopy(bytes, format)], { type: `image/${format}` });
	return createImageBitmap(blob, {
		colorSpaceConversion: "none",
		premultiplyAlpha: "none",
	});
}

/** What is under transparency is lost: a canvas multiplies by alpha. */
function read2d(bitmap: ImageBitmap): Uint8ClampedArray | undefined {
	const { width, height } = bitmap;
	const context = new OffscreenCanvas(width, height).getContext("2d");
	context?.drawImage(bitmap, 0, 0);
	return context?.getImageData(0, 0, width, height).data;
}

/** Textures keep colours as they are, whatever the alpha. Undefined where there is no WebGL, or the image is too large for it. */
function readTexture(bitmap: ImageBitmap): Uint8Array | undefined {
	const { width, height } = bitmap;
	const gl = new OffscreenCanvas(1, 1).getContext("webgl");
	if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE))
		return undefined;
	const texture = gl.createTexture();
	gl.bindTexture(gl.TEXTURE_2D, texture);
	gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
	gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
	gl.framebufferTexture2D(
		gl.FRAMEBUFFER,
		gl.COLOR_ATTACHMENT0,
		gl.TEXTURE_2D,
		texture,
		0,
	);
	const data = new Uint8Array(4 * width * height);
	gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
	const done = gl.getError() === gl.NO_ERROR;
	gl.getExtension("WEBGL_lose_context")?.loseContext();
	return done ? data : undefined;
}
