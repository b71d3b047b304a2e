import { RESERVED_BYTES, SCRATCH_BYTES } from "../../src/engine/layouts.ts";
import type { View } from "./entry.ts";
import { halfToFloat } from "./half.ts";

/** Element types of outputs. `bytes` is for packed records: compared bit by bit, whatever the tolerance. */
const types = {
	f32: { size: 4, read: (at: DataView, i: number) => at.getFloat32(i, true) },
	i32: { size: 4, read: (at: DataView, i: number) => at.getInt32(i, true) },
	f16: {
		size: 2,
		read: (at: DataView, i: number) => halfToFloat(at.getUint16(i, true)),
	},
	i8: { size: 1, read: (at: DataView, i: number) => at.getInt8(i) },
	bytes: { size: 1, read: (at: DataView, i: number) => at.getUint8(i) },
} as const;

export type OutputType = keyof typeof types;

/** A region that the kernel may write: `count` elements of `type` at `address`. */
export interface Output {
	readonly type: OutputType;
	readonly address: number;
	readonly count: number;
}

export const outputBytes = ({ type, count }: Output) =>
	types[type].size * count;

/** Values of an output as numbers. */
export function readOutput(
	image: Uint8Array,
	{ type, address, count }: Output,
): number[] {
	const { size, read } = types[type];
	const view = new DataView(image.buffer, image.byteOffset + address);
	return Array.from({ length: count }, (_, i) => read(view, size * i));
}

const ALIGN = 16;
const CANARY_BYTES = 64; // between regions: four vectors, so that a store past an end hits no neighbour

/** Allocates the operands of one call in an image of the memory that the call starts from. */
export class Operands {
	readonly outputs: Output[] = [];
	/** Bytes of each input, by its address. */
	readonly inputs = new Map<number, number>();
	readonly scratches: { readonly address: number; readonly bytes: number }[] =
		[];
	private bytes = new Uint8Array(1 << 16);
	private end = RESERVED_BYTES;
	private state: number;

	constructor(seed: number) {
		this.state = seed >>> 0;
		this.fill(0, this.end);
	}

	/** The memory's content before the call, from address 0; all but the reserved start is the test's own. */
	image(): Uint8Array<ArrayBuffer> {
		this.reserve(this.end);
		return this.bytes;
	}

	/** Uniform in [0, 1). */
	random(): number {
		this.state = (this.state + 0x6d2b79f5) | 0;
		let z = this.state;
		z = Math.imul(z ^ (z >>> 15), z | 1);
		z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
		return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
	}

	/** Normally distributed, mean 0. */
	gaussian(deviation = 1): number {
		const radius = Math.sqrt(-2 * Math.log(1 - this.random()));
		return deviation * radius * Math.cos(2 * Math.PI * this.random());
	}

	/** `count` normally distributed values. */
	gaussians(count: number, deviation = 1): Float32Array {
		const values = new Float32Array(count);
		for (let i = 0; i < count; i++) values[i] = this.gaussian(deviation);
		return values;
	}

	/** An integer in [low, high]. */
	integer(low: number, high: number): number {
		return low + Math.floor(this.random() * (high - low + 1));
	}

	/** `count` integers in [low, high]. */
	integers(count: number, low: number, high: number): Int32Array {
		const values = new Int32Array(count);
		for (let i = 0; i < count; i++) values[i] = this.integer(low, high);
		return values;
	}

	/** Allocates an input f32[values.length]. */
	f32(values: ArrayLike<number>): number {
		return this.put(Float32Array.from(values));
	}

	/** Allocates an input f32[count] of normally distributed values. */
	normal(count: number, deviation = 1): number {
		return this.put(this.gaussians(count, deviation));
	}

	/** Allocates an input i32[values.length]. */
	i32(values: ArrayLike<number>): number {
		return this.put(Int32Array.from(values));
	}

	/** Allocates an input with the bytes of `values`. */
	put(values: ArrayBufferView): number {
		const address = this.allocate(values.byteLength);
		this.inputs.set(address, values.byteLength);
		this.bytes.set(
			new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
			address,
		);
		return address;
	}

	/** Allocates an output of `count` elements, holding random bytes. */
	output(type: OutputType, count: number): number {
		const address = this.allocate(types[type].size * count);
		this.outputs.push({ type, address, count });
		return address;
	}

	/** Allocates an output that starts with given values: for kernels that work in place or write only some of it. */
	inPlace(type: OutputType, values: ArrayBufferView): number {
		const address = this.put(values);
		const count = values.byteLength / types[type].size;
		this.outputs.push({ type, address, count });
		return address;
	}

	/** Allocates a part's scratch memory. */
	scratch(): number {
		const address = this.allocate(SCRATCH_BYTES);
		this.scratches.push({ address, bytes: SCRATCH_BYTES });
		return address;
	}

	private allocate(bytes: number): number {
		const address = this.end;
		const next = Math.ceil((address + bytes + CANARY_BYTES) / ALIGN) * ALIGN;
		this.reserve(next);
		this.fill(address, next);
		this.end = next;
		return address;
	}

	private reserve(bytes: number): void {
		if (bytes <= this.bytes.length) return;
		const grown = new Uint8Array(
			2 ** Math.ceil(Math.log2(Math.max(bytes, 2 * this.bytes.length))),
		);
		grown.set(this.bytes);
		this.bytes = grown;
	}

	/** Fills whole words with random bytes. */
	private fill(from: number, to: number): void {
		const words = new Uint32Array(this.bytes.buffer, from, (to - from) / 4);
		for (let i = 0; i < words.length; i++) words[i] = this.random() * 2 ** 32;
	}
}

export function viewOf(buffer: ArrayBuffer): View {
	return {
		f32: (address) => new Float32Array(buffer, address),
		i32: (address) => new Int32Array(buffer, address),
		i8: (address) => new Int8Array(buffer, address),
		u8: (address) => new Uint8Array(buffer, address),
		u16: (address) => new Uint16Array(buffer, address),
	};
}
