/** A tensor to write: safetensors' dtype, shape, bytes. */
export interface WriteTensor {
	readonly dtype: string;
	readonly shape: readonly number[];
	readonly data: Uint8Array;
}

/** A safetensors file, its tensors in the order given. */
export function writeSafetensors(
	tensors: Readonly<Record<string, WriteTensor>>,
	metadata: Readonly<Record<string, string>> = { format: "pt" },
): Uint8Array {
	let end = 0;
	const header: Record<string, unknown> = { __metadata__: metadata };
	for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
		header[name] = { dtype, shape, data_offsets: [end, end + data.length] };
		end += data.length;
	}
	const text = JSON.stringify(header);
	const json = new TextEncoder().encode(text);
	const headerBytes = Math.ceil(json.length / 8) * 8;
	const out = new Uint8Array(8 + headerBytes + end).fill(0x20, 8);
	new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes), true);
	out.set(json, 8);
	let at = 8 + headerBytes;
	for (const { data } of Object.values(tensors)) {
		out.set(data, at);
		at += data.length;
	}
	return out;
}
