/** A tensor to write: safetensors' dtype, shape, bytes. */
export interface WriteTensor {
	readonly dtype: string;
	readonly shape: readonly number[];
	readonly data: Uint8Array;
}

/** What comes before the bytes of tensors that lie one after the other, in the order given. */
export function safetensorsHeader(
	tensors: Iterable<{
		readonly name: string;
		readonly dtype: string;
		readonly shape: readonly number[];
		readonly bytes: number;
	}>,
	metadata: Readonly<Record<string, string>>,
): Uint8Array {
	let end = 0;
	const entries: Record<string, unknown> = { __metadata__: metadata };
	for (const { name, dtype, shape, bytes } of tensors) {
		entries[name] = { dtype, shape, data_offsets: [end, end + bytes] };
		end += bytes;
	}
	const json = new TextEncoder().encode(JSON.stringify(entries));
	const jsonBytes = Math.ceil(json.length / 8) * 8;
	const header = new Uint8Array(8 + jsonBytes).fill(0x20, 8);
	new DataView(header.buffer).setBigUint64(0, BigInt(jsonBytes), true);
	header.set(json, 8);
	return header;
}

/** A safetensors file, its tensors in the order given. */
export function writeSafetensors(
	tensors: Readonly<Record<string, WriteTensor>>,
	metadata: Readonly<Record<string, string>> = { format: "pt" },
): Uint8Array {
	const named = Object.entries(tensors).map(([name, { data, ...about }]) => ({
		...about,
		name,
		data,
		bytes: data.length,
	}));
	const header = safetensorsHeader(named, metadata);
	const bytes = named.reduce((sum, t) => sum + t.bytes, 0);
	const out = new Uint8Array(header.length + bytes);
	out.set(header);
	let at = header.length;
	for (const { data } of named) {
		out.set(data, at);
		at += data.length;
	}
	return out;
}
