import { UnsupportedError } from "../errors.ts";
import type { StoredTensor } from "./checkpoint.ts";
import { checkExtent } from "./stored.ts";

/** A norm weight w that its file holds as w + 1 (Gemma in GGUF), in f32. */
export function withoutOffset(stored: StoredTensor): StoredTensor {
	if (stored.type !== "F32")
		throw new UnsupportedError(
			`${stored.file}: tensor ${stored.name} is a norm weight of type ${stored.type}, expected F32`,
		);
	return {
		...stored,
		async read(offset = 0, length = stored.bytes - offset, into) {
			checkExtent(stored, offset, length);
			const start = offset - (offset % 4);
			const end = Math.ceil((offset + length) / 4) * 4;
			const whole = start === offset && end === offset + length;
			const bytes = await stored.read(
				start,
				end - start,
				whole ? into : undefined,
			);
			const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
			for (let at = 0; at < bytes.length; at += 4)
				view.setFloat32(at, view.getFloat32(at, true) - 1, true);
			if (whole) return bytes;
			const part = bytes.subarray(offset - start, offset - start + length);
			if (!into) return part;
			into.set(part);
			return into.subarray(0, length);
		},
	};
}
