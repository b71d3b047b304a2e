// Writes ZIP archives as torch does: stored, streamed (sizes after the data), ZIP64 ends always, data aligned to 64 bytes.

export interface ZipRecord {
	readonly name: string;
	readonly data: Uint8Array;
	/** Damage: what the central directory says instead of the truth. */
	readonly lie?: {
		readonly size?: number;
		readonly stored?: number;
		readonly header?: number;
		readonly method?: number;
		readonly flags?: number;
	};
}

const ALIGNMENT = 64;

export function writeZip(records: readonly ZipRecord[]): Uint8Array {
	const out = new Bytes();
	const directory = new Bytes();
	for (const { name, data, lie = {} } of records) {
		const header = out.length;
		const nameBytes = new TextEncoder().encode(name);
		const crc = crc32(data);
		const unpadded = header + 30 + nameBytes.length + 4;
		const padding = (ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT;
		out.u32(0x04034b50).u16(0).u16(0x0808).u16(0).u32(0);
		out
			.u32(0)
			.u32(0)
			.u32(0)
			.u16(nameBytes.length)
			.u16(4 + padding);
		out.raw(nameBytes).u16(0x4246).u16(padding);
		out.raw(new Uint8Array(padding).fill(0x5a)).raw(data);
		out.u32(0x08074b50).u32(crc).u32(data.length).u32(data.length);
		directory.u32(0x02014b50).u16(0).u16(0);
		directory
			.u16(lie.flags ?? 0x0808)
			.u16(lie.method ?? 0)
			.u32(0)
			.u32(crc);
		directory.u32(lie.stored ?? lie.size ?? data.length);
		directory.u32(lie.size ?? data.length);
		directory.u16(nameBytes.length).u16(0).u16(0).u16(0).u16(0).u32(0);
		directory.u32(lie.header ?? header).raw(nameBytes);
	}
	const start = out.length;
	const count = records.length;
	out.raw(directory.bytes());
	const end64 = out.length;
	out.u32(0x06064b50).u64(44).u16(0x031e).u16(45).u32(0).u32(0);
	out.u64(count).u64(count).u64(directory.length).u64(start);
	out.u32(0x07064b50).u32(0).u64(end64).u32(1);
	out.u32(0x06054b50).u16(0).u16(0).u16(count).u16(count);
	out.u32(directory.length).u32(start).u16(0);
	return out.bytes();
}

/** Bytes that grow; numbers are little-endian. */
export class Bytes {
	length = 0;
	#bytes = new Uint8Array(1024);

	raw(bytes: ArrayLike<number>): this {
		if (this.length + bytes.length > this.#bytes.length) {
			const grown = new Uint8Array(2 * (this.length + bytes.length));
			grown.set(this.#bytes.subarray(0, this.length));
			this.#bytes = grown;
		}
		this.#bytes.set(bytes, this.length);
		this.length += bytes.length;
		return this;
	}
	u8(value: number): this {
		return this.raw([value & 255]);
	}
	u16(value: number): this {
		return this.raw([value & 255, (value >>> 8) & 255]);
	}
	u32(value: number): this {
		return this.u16(value & 0xffff).u16(value >>> 16);
	}
	u64(value: number): this {
		return this.u32(value >>> 0).u32(Math.floor(value / 2 ** 32));
	}
	bytes(): Uint8Array {
		return this.#bytes.slice(0, this.length);
	}
}

function crc32(bytes: Uint8Array): number {
	let crc = ~0;
	for (const byte of bytes) {
		crc ^= byte;
		for (let bit = 0; bit < 8; bit++) {
			crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
		}
	}
	return ~crc >>> 0;
}
