import { Unzlib } from "fflate";
import { ImageError } from "../errors.ts";
import type { RawImage } from "./image.ts";

// A PNG file is a signature and chunks: [length: u32][type: 4 letters][data][crc: u32], big-endian.
//
//   IHDR   width, height, bits per sample, colour type, compression 0, filter 0, interlace
//   PLTE   colours of indexed images, 3 bytes each
//   IDAT   zlib stream, in pieces: per row a filter's number and the filtered bytes
//   IEND
//
// Interlaced images (Adam7) hold seven smaller images, one after the other, of every 8th to every 2nd pixel.

/** Samples per pixel, by colour type: grey, –, rgb, indexed, grey and alpha, –, rgba. */
const SAMPLES = [1, 0, 3, 1, 2, 0, 4];
const INDEXED = 3;

/** First column and row of each pass of Adam7, and steps to the next. */
const ADAM7 = [
	[0, 0, 8, 8],
	[4, 0, 8, 8],
	[0, 4, 4, 8],
	[2, 0, 4, 4],
	[0, 2, 2, 4],
	[1, 0, 2, 2],
	[0, 1, 1, 2],
] as const;

interface Header {
	readonly width: number;
	readonly height: number;
	readonly depth: number;
	readonly type: number;
	readonly passes: readonly (readonly [number, number, number, number])[];
}

/** Decodes a PNG file; samples of 16 bits keep their upper 8. Throws ImageError. */
export function decodePng(bytes: Uint8Array, where: string): RawImage {
	const wrong = (what: string) => new ImageError(`${where}: PNG ${what}`);
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	const data: Uint8Array[] = [];
	let palette = new Uint8Array(0);
	for (let at = 33; at + 12 <= bytes.length; ) {
		const length = view.getUint32(at);
		const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
		if (at + 12 + length > bytes.length) break;
		const content = bytes.subarray(at + 8, at + 8 + length);
		if (type === "PLTE") palette = Uint8Array.from(content);
		if (type === "IDAT") data.push(content);
		if (type === "IEND") break;
		at += 12 + length;
	}
	const header = readHeader(view, wrong);
	const { width, height, depth, type, passes } = header;
	const samples = SAMPLES[type]!;
	const bits = depth * samples;
	const sizes = passes.map(([x, y, dx, dy]) => ({
		columns: Math.max(0, Math.ceil((width - x) / dx)),
		rows: Math.max(0, Math.ceil((height - y) / dy)),
	}));
	const rowBytes = (columns: number) => Math.ceil((columns * bits) / 8);
	const filtered = inflate(
		data,
		sizes.reduce(
			(sum, s) =>
				sum + (s.columns > 0 ? s.rows * (1 + rowBytes(s.columns)) : 0),
			0,
		),
		wrong,
	);

	const channels = type === INDEXED ? 3 : samples < 3 ? 1 : 3;
	const out = new Uint8Array(width * height * channels);
	const sample = sampler(depth);
	const gain = type === INDEXED || depth >= 8 ? 1 : 255 / (2 ** depth - 1);
	let at = 0;
	for (const [pass, { columns, rows }] of sizes.entries()) {
		if (columns === 0) continue;
		const [x0, y0, dx, dy] = passes[pass]!;
		const stride = rowBytes(columns);
		let above: Uint8Array = new Uint8Array(stride);
		for (let row = 0; row < rows; row++, at += 1 + stride) {
			const line = filtered.subarray(at + 1, at + 1 + stride);
			if (!unfilter(filtered[at]!, line, above, Math.ceil(bits / 8)))
				throw wrong(`has a row with filter ${filtered[at]}, expected 0 to 4`);
			above = line;
			for (let column = 0; column < columns; column++) {
				const to = ((y0 + row * dy) * width + x0 + column * dx) * channels;
				if (type === INDEXED) {
					const color = 3 * sample(line, column);
					if (color + 3 > palette.length)
						throw wrong(`has no colour ${color / 3} in its palette`);
					out.set(palette.subarray(color, color + 3), to);
				} else
					for (let c = 0; c < channels; c++)
						out[to + c] = gain * sample(line, column * samples + c);
			}
		}
	}
	return { width, height, channels, data: out };
}

function readHeader(
	view: DataView,
	wrong: (what: string) => ImageError,
): Header {
	if (view.byteLength < 33) throw wrong("ends in its header");
	const [depth, type, compression, filter, interlace] = Array.from(
		{ length: 5 },
		(_, i) => view.getUint8(24 + i),
	) as [number, number, number, number, number];
	const depths =
		type === 0 ? [1, 2, 4, 8, 16] : type === INDEXED ? [1, 2, 4, 8] : [8, 16];
	if (!SAMPLES[type] || !depths.includes(depth))
		throw wrong(`has colour type ${type} with ${depth} bits per sample`);
	if (compression !== 0 || filter !== 0 || interlace > 1)
		throw wrong(
			`has compression ${compression}, filter ${filter}, interlace ${interlace}, expected 0, 0, and 0 or 1`,
		);
	return {
		width: view.getUint32(16),
		height: view.getUint32(20),
		depth,
		type,
		passes: interlace === 1 ? ADAM7 : [[0, 0, 1, 1]],
	};
}

/** All pieces of a zlib stream as one, of which the length is known: a stream that holds more is not read on. */
function inflate(
	pieces: readonly Uint8Array[],
	length: number,
	wrong: (what: string) => ImageError,
): Uint8Array {
	const out = new Uint8Array(length);
	let done = 0;
	const stream = new Unzlib((piece) => {
		if (done + piece.length > length)
			throw wrong(`holds more than ${length} bytes of pixels`);
		out.set(piece, done);
		done += piece.length;
	});
	// Small pieces, so that little is inflated before it is known to be too much.
	const PIECE = 4096;
	try {
		for (const piece of pieces)
			for (let at = 0; at < piece.length; at += PIECE)
				stream.push(piece.subarray(at, at + PIECE));
	} catch (error) {
		if (error instanceof ImageError) throw error;
		throw wrong(`cannot be inflated: ${String(error)}`);
	}
	if (done < length)
		throw wrong(`ends after ${done} of ${length} bytes of pixels`);
	return out;
}

/** Sample i of a row, its upper 8 bits if it has 16. */
function sampler(depth: number): (line: Uint8Array, i: number) => number {
	if (depth === 8) return (line, i) => line[i]!;
	if (depth === 16) return (line, i) => line[2 * i]!;
	const perByte = 8 / depth;
	const mask = 2 ** depth - 1;
	return (line, i) =>
		(line[Math.floor(i / perByte)]! >> (8 - depth * ((i % perByte) + 1))) &
		mask;
}

/** Undoes a row's filter in place: each byte was stored less a guess from the pixel on its left, the row above, or both. */
function unfilter(
	filter: number,
	line: Uint8Array,
	above: Uint8Array,
	pixelBytes: number,
): boolean {
	const left = (i: number) => (i < pixelBytes ? 0 : line[i - pixelBytes]!);
	const corner = (i: number) => (i < pixelBytes ? 0 : above[i - pixelBytes]!);
	switch (filter) {
		case 0:
			break;
		case 1:
			for (let i = pixelBytes; i < line.length; i++) line[i]! += left(i);
			break;
		case 2:
			for (let i = 0; i < line.length; i++) line[i]! += above[i]!;
			break;
		case 3:
			for (let i = 0; i < line.length; i++)
				line[i]! += (left(i) + above[i]!) >> 1;
			break;
		case 4:
			for (let i = 0; i < line.length; i++)
				line[i]! += paeth(left(i), above[i]!, corner(i));
			break;
		default:
			return false;
	}
	return true;
}

/** Whichever of left, above and corner is nearest to left + above − corner. */
function paeth(left: number, above: number, corner: number): number {
	const toLeft = Math.abs(above - corner);
	const toAbove = Math.abs(left - corner);
	const toCorner = Math.abs(left + above - 2 * corner);
	if (toLeft <= toAbove && toLeft <= toCorner) return left;
	return toAbove <= toCorner ? above : corner;
}
