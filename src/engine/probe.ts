import { instantiateKernels, type Kernels } from "./kernels.ts";
import { activations, layouts, RESERVED_BYTES } from "./layouts.ts";

/**
 * Which of the two builds of the kernels an engine can be trusted with: "relaxed" where it compiles and gives known
 * answers. Engines may leave relaxed SIMD out, and some that have it compute it wrongly, so it has to be tried.
 * `compile` compiles a build for shared or unshared memory.
 */
export async function chooseTarget(
	compile: (target: "simd" | "relaxed") => Promise<WebAssembly.Module>,
	shared: boolean,
): Promise<"simd" | "relaxed"> {
	try {
		const memory = new WebAssembly.Memory({ initial: 2, maximum: 16, shared });
		const kernels = instantiateKernels([await compile("relaxed")], memory);
		memory.grow(9); // scratch memory
		return givesKnownAnswers(kernels, memory) ? "relaxed" : "simd";
	} catch {
		return "simd";
	}
}

const N = 16;
const K = 64;
const ROWS = 7;
const HALF_ONE = 0x3c00;

/**
 * Multiplies small matrices of integers with all scales 1, so that every sum is an integer that f32 holds exactly: once
 * with 4-bit and once with 8-bit codes, for one row and for several, since these are different instructions and loops.
 */
function givesKnownAnswers(
	kernels: Kernels,
	{ buffer }: WebAssembly.Memory,
): boolean {
	const x = RESERVED_BYTES;
	const q = x + 4 * ROWS * K;
	const stored = q + ROWS * activations.qb8.rowBytes(K);
	const w = stored + layouts.qb8_qb8w.bytes(N, K);
	const y = w + layouts.qb8_qb8w.bytes(N, K);
	const scratch = y + 4 * ROWS * N;

	// A step coprime to the range reaches every integer in it, −127 and 127 in every block of 32 among them.
	const inputs = Float32Array.from({ length: ROWS * K }, (_, i) =>
		i % 32 === 0 ? 127 : i % 32 === 1 ? -127 : ((i * 97) % 255) - 127,
	);
	new Float32Array(buffer, x).set(inputs);
	kernels.quantize_f32_qb8(q, x, K, 0, ROWS);

	const expected = (code: (j: number, c: number) => number, t: number) =>
		Array.from({ length: N }, (_, j) => {
			let sum = 0;
			for (let c = 0; c < K; c++) sum += inputs[t * K + c]! * code(j, c);
			return sum;
		});
	const right = (code: (j: number, c: number) => number, rows: number) => {
		const found = new Float32Array(buffer, y, rows * N);
		return Array.from({ length: rows }, (_, t) => expected(code, t))
			.flat()
			.every((value, i) => value === found[i]);
	};

	const nibble = (j: number, c: number) => ((j * 5 + c * 7) % 16) - 8;
	writeBlocks(buffer, stored, 18, (at, j, c) => {
		for (let i = 0; i < 16; i++)
			at.setUint8(
				i,
				(nibble(j, c + i) + 8) | ((nibble(j, c + i + 16) + 8) << 4),
			);
	});
	kernels.pack_qb4w_f16_q4_0(w, stored, N, K, 0, N);
	for (const rows of [1, ROWS]) {
		kernels.gemm_qb8_qb4w_f16(y, q, w, 0, 0, rows, N, K, 32, scratch, 0, N);
		if (!right(nibble, rows)) return false;
	}

	const byte = (j: number, c: number) => ((j * 41 + c * 91) % 256) - 128;
	writeBlocks(buffer, stored, 34, (at, j, c) => {
		for (let i = 0; i < 32; i++) at.setInt8(i, byte(j, c + i));
	});
	kernels.pack_qb8w_q8_0(w, stored, N, K, 0, N);
	for (const rows of [1, ROWS]) {
		kernels.gemm_qb8_qb8w(y, q, w, 0, 0, rows, N, K, scratch, 0, N);
		if (!right(byte, rows)) return false;
	}
	return true;
}

/** Rows of blocks of 32 columns: an f16 scale of 1 and the codes of row j, columns c to c + 31, which `write` puts behind it. */
function writeBlocks(
	buffer: ArrayBuffer,
	address: number,
	blockBytes: number,
	write: (at: DataView, j: number, c: number) => void,
): void {
	for (let j = 0; j < N; j++)
		for (let c = 0; c < K; c += 32, address += blockBytes) {
			new DataView(buffer, address).setUint16(0, HALF_ONE, true);
			write(new DataView(buffer, address + 2), j, c);
		}
}
