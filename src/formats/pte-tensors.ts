// The constants of an ExecuTorch program as tensors.
import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { StoredTensor } from "./checkpoint.ts";
import type { Extent, Pte } from "./pte.ts";
import { storedType } from "./pte-method.ts";
import type { NamedConstant } from "./pte-names.ts";
import type { XnnpackTensor } from "./pte-xnnpack.ts";
import { elementsOf, storedTensor } from "./stored.ts";

/** Bits of an element, by type. */
const BITS: ReadonlyMap<string, number> = new Map([
	["qbint4", 4],
	["qcint4", 4],
	["qcint8", 8],
	["embedding_4bit", 4],
	["embedding_byte", 8],
	["BOOL", 8],
	["U8", 8],
	["I8", 8],
	["I16", 16],
	["F16", 16],
	["BF16", 16],
	["I32", 32],
	["F32", 32],
	["I64", 64],
	["F64", 64],
]);

/**
 * Constants of the plans and of their delegates, each once: plans may share them. Those that have names come first, and
 * under each of their names.
 */
export function tensorsOf(
	{ plans }: Pte,
	source: ByteSource,
	named: readonly NamedConstant[] = [],
): Map<string, StoredTensor> {
	const tensors = new Map<string, StoredTensor>();
	const places = new Set<string>();
	const add = (
		{ offset, bytes }: Extent,
		name: string,
		type: string,
		shape: readonly number[],
	) => {
		const expected = bytesOf(type, shape);
		if (expected !== undefined && !(expected <= bytes))
			throw new CheckpointError(
				`${source.name}: ${name} is ${type} [${shape}], which takes ${expected} bytes, but it has ${bytes}`,
			);
		// Behind it there may be a gap before the next one.
		const about = { name, type, shape, bytes: expected ?? bytes };
		const tensor = storedTensor(source, offset, about);
		tensors.set(name, type === "embedding_4bit" ? evenLow(tensor) : tensor);
	};
	/** Its own name, or one by its place. */
	const nameOf = (own: string | undefined, place: string) =>
		own !== undefined && !tensors.has(own) ? own : place;
	const isNew = ({ offset, bytes }: Extent) => {
		const before = places.size;
		return places.add(`${offset} ${bytes}`).size > before;
	};
	const addQuantized = (
		name: string,
		weights: Extent,
		about: Quantized,
		scales: NamedConstant["scales"],
	) => {
		add(weights, name, about.type, about.shape);
		if (!scales) return;
		const { place, type } = scales;
		add(place, `${name}.scales`, ...scaleType(about, type, name, source));
	};

	for (const { name, place, scales, ...about } of named) {
		isNew(place);
		if (scales) isNew(scales.place);
		addQuantized(name, place, about, scales);
	}
	for (const { name: plan, tensors: own, delegates } of plans) {
		for (const [i, tensor] of own.entries()) {
			const { constant, shape } = tensor;
			const name = nameOf(tensor.name, `${plan}.${i}`);
			if (constant && isNew(constant))
				add(constant, name, storedType(tensor), shape);
		}
		for (const [d, { id, xnnpack }] of delegates.entries())
			for (const [i, constant] of (xnnpack?.constants ?? []).entries()) {
				const { key, weights, scales, ...about } = constant;
				if (!weights || !isNew(weights)) continue;
				const name = nameOf(key, `${plan}.${id}.${d}.${i}`);
				addQuantized(name, weights, about, scales && { place: scales });
			}
	}
	return tensors;
}

/** Codes with the even column in the low half of a byte, as all other formats have it. The operator has it in the high half. */
function evenLow(tensor: StoredTensor): StoredTensor {
	return {
		...tensor,
		async read(offset, length, into) {
			const bytes = await tensor.read(offset, length, into);
			// What a source gives may be its own.
			const swapped = into ? bytes : bytes.slice();
			for (const [i, byte] of swapped.entries())
				swapped[i] = (byte >> 4) | (byte << 4);
			return swapped;
		},
	};
}

type Quantized = Pick<XnnpackTensor, "type" | "shape" | "groupSize">;

/** Scales of operators say what they are; XNNPACK's are bf16 by group, f32 by row. */
function scaleType(
	{ shape, groupSize }: Quantized,
	own: string | undefined,
	name: string,
	{ name: file }: ByteSource,
): [type: string, shape: readonly number[]] {
	const [rows = 0, cols = 0] = shape;
	if (groupSize === 0) return [own ?? "F32", [rows, 1]];
	if (cols % groupSize !== 0)
		throw new CheckpointError(
			`${file}: ${name} [${shape}] has a scale per ${groupSize} columns, which do not divide ${cols}`,
		);
	return [own ?? "BF16", [rows, cols / groupSize]];
}

/** Undefined for types that are not known. NaN for a shape that cannot be. */
function bytesOf(type: string, shape: readonly number[]): number | undefined {
	const bits = BITS.get(type);
	if (bits === undefined) return undefined;
	if (shape.some((size) => size < 0)) return Number.NaN;
	return Math.ceil(((elementsOf(shape) ?? Number.NaN) * bits) / 8);
}
