import { EngineError } from "../errors.ts";
import { RESERVED_BYTES } from "./layouts.ts";

const PAGE_BYTES = 65536;
/** One page short of 4 GiB: WebKit cannot make a buffer of exactly 4 GiB. */
const MAXIMUM_PAGES = 65535;
/** The largest number of bytes one bank can hold. */
export const BANK_BYTES = MAXIMUM_PAGES * PAGE_BYTES;
/** Cache lines are 64 bytes, so two parts that write to neighbouring allocations do not slow each other down. */
const ALIGNMENT = 64;
/** Memory grows by at least this part of what it has, and by no fewer pages (1 MiB): rarely, and hardly beyond what is needed. */
const GROWTH = 1 / 32;
const LEAST_GROWTH_PAGES = 16;

/** What an allocation of `bytes` bytes takes. */
export const align = (bytes: number): number =>
	Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** One WebAssembly memory that is added to and, but for `release`, never given back. Address 0 stays unused: kernels take it for "none". */
export class Memory {
	readonly memory: WebAssembly.Memory;
	#used = RESERVED_BYTES;

	/** With `shared`, the memory can be posted to worker threads. */
	constructor(shared: boolean) {
		this.memory = new WebAssembly.Memory({
			initial: 1,
			maximum: MAXIMUM_PAGES,
			shared,
		});
	}

	get usedBytes(): number {
		return this.#used;
	}

	/** Grows for `bytes` more bytes at once: the system gives memory in one piece faster than in many. Throws EngineError. */
	reserve(bytes: number, what: string): void {
		this.release(this.allocate(bytes, what));
	}

	/** Address of `bytes` fresh bytes. Throws EngineError where the bank is full or the system has no more memory. */
	allocate(bytes: number, what: string): number {
		const address = this.#used;
		const end = address + align(bytes);
		if (end > BANK_BYTES)
			throw new EngineError(
				`no room for ${what}: ${bytes} bytes needed, ${BANK_BYTES - address} of ${BANK_BYTES} left in this memory bank`,
			);
		const have = this.memory.buffer.byteLength / PAGE_BYTES;
		const need = Math.ceil(end / PAGE_BYTES) - have;
		const step = Math.max(LEAST_GROWTH_PAGES, Math.ceil(have * GROWTH));
		if (need > 0)
			this.#grow(
				Math.min(Math.max(need, step), MAXIMUM_PAGES - have),
				need,
				what,
			);
		this.#used = end;
		return address;
	}

	/** Forgets everything allocated at `address` and above. */
	release(address: number): void {
		this.#used = address;
	}

	#grow(wanted: number, need: number, what: string): void {
		for (const pages of [wanted, need]) {
			try {
				this.memory.grow(pages);
				return;
			} catch {
				// Tried again with no more than what is needed; then it is an error.
			}
		}
		throw new EngineError(
			`out of memory for ${what}: the system refused ${need * PAGE_BYTES} more bytes on top of ${this.memory.buffer.byteLength}`,
		);
	}

	bytes(address: number, length: number): Uint8Array {
		return new Uint8Array(this.memory.buffer, address, length);
	}

	i32(address: number, length: number): Int32Array {
		return new Int32Array(this.memory.buffer, address, length);
	}

	f32(address: number, length: number): Float32Array {
		return new Float32Array(this.memory.buffer, address, length);
	}
}
