/** Writes safetensors files whose tensors are bytes that repeat. */
import { safetensorsHeader } from "../test/write-safetensors.ts";
import { writeModelFile } from "./model-writer.ts";

const ELEMENT_BYTES = {
	U8: 1,
	I8: 1,
	F8_E4M3: 1,
	F16: 2,
	BF16: 2,
	I32: 4,
	F32: 4,
	I64: 8,
} as const;

export interface FileTensor {
	readonly name: string;
	readonly dtype: keyof typeof ELEMENT_BYTES;
	readonly shape: readonly number[];
	/** Bytes that are repeated until the tensor is full. */
	readonly pattern: Uint8Array;
}

export async function writeSafetensors(
	path: string,
	tensors: readonly FileTensor[],
	metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<void> {
	const sized = tensors.map((tensor) => ({
		...tensor,
		bytes: tensor.shape.reduce((a, b) => a * b, ELEMENT_BYTES[tensor.dtype]),
	}));
	await writeModelFile(path, async (file) => {
		await file.write(safetensorsHeader(sized, metadata));
		for (const { pattern, bytes } of sized) await file.repeat(pattern, bytes);
	});
}
