import { isKernel } from "./kernels.ts";
import type { Buffer, Cache, Operand, RecordedCall } from "./operands.ts";

/**
 * Rewrites of a recording that save passes over memory and barriers, and change no bit of the result. A model file says
 * what is computed; what two neighbours can do in one kernel is seen here.
 */
export function fuse(calls: readonly RecordedCall[]): RecordedCall[] {
	const copies = calls.map((call) => ({ ...call }));
	return [fuseResiduals, fuseRotatedWrites, fuseQuantization].reduce(
		(fused, pass) => pass(fused, countUses(fused)),
		copies,
	);
}

/** How many calls name each buffer. A product that only one other call reads is named twice. */
type Uses = ReadonlyMap<Operand, number>;

function countUses(calls: readonly RecordedCall[]): Uses {
	const uses = new Map<Operand, number>();
	for (const call of calls)
		for (const operand of new Set(Object.values(call.args)))
			if (typeof operand === "object")
				uses.set(operand, (uses.get(operand) ?? 0) + 1);
	return uses;
}

/** Whether `operand` is written by `calls[from]` or a later call. */
const isWrittenFrom = (
	calls: readonly RecordedCall[],
	from: RecordedCall,
	operand: Buffer | Cache,
): boolean =>
	calls
		.slice(calls.indexOf(from))
		.some((call) => call.writes.includes(operand));

/** add(a, linear(x)) → the product's own kernel adds a. */
function fuseResiduals(calls: RecordedCall[], uses: Uses): RecordedCall[] {
	const products = new Map<Operand, RecordedCall>();
	const fused: RecordedCall[] = [];
	for (const call of calls) {
		const { a, b, y } = call.args as { a?: Buffer; b?: Buffer; y?: Buffer };
		const product = b && products.get(b);
		if (
			call.kernel === "add_f32" &&
			product &&
			a &&
			b &&
			y &&
			uses.get(b) === 2 &&
			a.bank === b.bank &&
			!isWrittenFrom(fused, product, a)
		) {
			product.args = { ...product.args, residual: a, y };
			product.writes = [y];
			continue;
		}
		if (call.args.residual === 0 && call.args.y !== undefined)
			products.set(call.args.y, call);
		fused.push(call);
	}
	return fused;
}

/** rope(k), then kv_write(k, v) → rope_kv_write(k, v). */
function fuseRotatedWrites(calls: RecordedCall[], uses: Uses): RecordedCall[] {
	const dropped = new Set<RecordedCall>();
	for (const write of calls) {
		const fused = `rope_${write.kernel}`;
		if (!write.kernel.startsWith("kv_write_") || !isKernel(fused)) continue;
		const rope = calls.find(
			(call) => call.kernel === "rope_f32" && call.args.x === write.args.k,
		);
		// Named by the product, the rotation and the writing.
		if (!rope || uses.get(rope.args.x!) !== 3) continue;
		dropped.add(rope);
		write.kernel = fused;
		write.args = { ...write.args, cos_sin: rope.args.cos_sin! };
	}
	return calls.filter((call) => !dropped.has(call));
}

/** A kernel whose result is only quantized → the kernel that does both, where there is one. */
function fuseQuantization(calls: RecordedCall[], uses: Uses): RecordedCall[] {
	const dropped = new Set<RecordedCall>();
	for (const quantize of calls) {
		const { x, y } = quantize.args;
		const [, form] = /^quantize_f32_(\w+)$/.exec(quantize.kernel) ?? [];
		if (form === undefined || x === undefined || y === undefined) continue;
		const producer = calls.find(
			(call) => call.writes.includes(x as Buffer) && call !== quantize,
		);
		const fused = `${producer?.kernel}_${form}`;
		if (!producer || uses.get(x) !== 2 || !isKernel(fused)) continue;
		dropped.add(producer);
		quantize.kernel = fused;
		quantize.args = { ...producer.args, ...quantize.args, scratch: "scratch" };
		// x stands for the producer's own input again, or for nothing.
		quantize.args.x = producer.args.x ?? 0;
		quantize.grain = 1;
	}
	return calls.filter((call) => !dropped.has(call));
}
