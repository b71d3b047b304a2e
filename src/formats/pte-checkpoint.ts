// An ExecuTorch program as a checkpoint, as far as it is one: its constants are tensors, which can be read.
//
// A model cannot be loaded from it. The exporter writes names for tensors that change and for those in other files, not for
// weights, and equal weights are stored once; the graph is cut into delegates, in which only the shapes and the order of the
// linear layers say what they are, and the order depends on how it was cut; norms are operands of multiplications. Nothing
// says what config.json does: numbers of heads, rotary frequencies, epsilons.
//
// A quantized constant of XNNPACK is two tensors here: "<name>", of the type "qbint4", "qcint4" or "qcint8" [N, K], and
// "<name>.scales", BF16 [N, K/g] or F32 [N, 1].
import { CheckpointError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Format, StoredTensor } from "./checkpoint.ts";
import {
	type Extent,
	isPte,
	type Pte,
	type PteTensor,
	readPte,
} from "./pte.ts";
import type { XnnpackTensor } from "./pte-xnnpack.ts";
import { elementsOf, storedTensor } from "./stored.ts";

export const pte: Format = {
	name: "pte",
	matches: isPte,
	async open(source) {
		const program = await readPte(source);
		const tensors = tensorsOf(program, source);
		return {
			tensors,
			metadata: program.metadata,
			config: {},
			program,
			unsupported: refusal(program),
		};
	},
};

/** Bits of an element, by type. */
const BITS: ReadonlyMap<string, number> = new Map([
	["qbint4", 4],
	["qcint4", 4],
	["qcint8", 8],
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

/** Constants of the plans and of their delegates, each once: plans may share them. */
function tensorsOf(
	{ plans }: Pte,
	source: ByteSource,
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
		tensors.set(name, storedTensor(source, offset, about));
	};
	/** Its own name, or one by its place. */
	const nameOf = (own: string | undefined, place: string) =>
		own !== undefined && !tensors.has(own) ? own : place;
	const isNew = ({ offset, bytes }: Extent) => {
		const before = places.size;
		return places.add(`${offset} ${bytes}`).size > before;
	};

	for (const { name: plan, tensors: own, delegates } of plans) {
		for (const [i, tensor] of own.entries()) {
			const { constant, shape } = tensor;
			if (constant && isNew(constant))
				add(
					constant,
					nameOf(tensor.name, `${plan}.${i}`),
					typeOf(tensor),
					shape,
				);
		}
		for (const [d, { id, xnnpack }] of delegates.entries())
			for (const [i, constant] of (xnnpack?.constants ?? []).entries()) {
				const { key, type, shape, weights, scales } = constant;
				if (!weights || !isNew(weights)) continue;
				const name = nameOf(key, `${plan}.${id}.${d}.${i}`);
				add(weights, name, type, shape);
				if (scales)
					add(scales, `${name}.scales`, ...scaleType(constant, name, source));
			}
	}
	return tensors;
}

/** The type of a tensor whose elements lie in the order that its shape says; of any other one that nobody reads. */
function typeOf({ type, dimOrder }: PteTensor): string {
	const isRowMajor = dimOrder.every((dim, i) => dim === i);
	return isRowMajor ? type : `${type} in dimension order ${dimOrder}`;
}

/** XNNPACK's scales are bf16 by group, f32 by row. */
function scaleType(
	{ shape, groupSize }: XnnpackTensor,
	name: string,
	{ name: file }: ByteSource,
): [type: string, shape: readonly number[]] {
	const [rows = 0, cols = 0] = shape;
	if (groupSize === 0) return ["F32", [rows, 1]];
	if (cols % groupSize !== 0)
		throw new CheckpointError(
			`${file}: ${name} [${shape}] has a scale per ${groupSize} columns, which do not divide ${cols}`,
		);
	return ["BF16", [rows, cols / groupSize]];
}

/** Undefined for types that are not known. NaN for a shape that cannot be. */
function bytesOf(type: string, shape: readonly number[]): number | undefined {
	const bits = BITS.get(type);
	if (bits === undefined) return undefined;
	if (shape.some((size) => size < 0)) return Number.NaN;
	return Math.ceil(((elementsOf(shape) ?? Number.NaN) * bits) / 8);
}

/** What is missing to load a model, and what to load instead. */
function refusal({ name, plans }: Pte): string {
	const constants = plans.flatMap(({ tensors }) =>
		tensors.filter(({ constant }) => constant),
	);
	const delegates = plans.flatMap((plan) => plan.delegates);
	const inside = delegates.flatMap((d) => d.xnnpack?.constants ?? []);
	const named = constants.filter((tensor) => tensor.name !== undefined).length;
	const opaque = delegates.filter((d) => d.xnnpack === undefined);
	const ids = [...new Set(opaque.map(({ id }) => id))].join(", ");
	return [
		`${name}: an ExecuTorch program, compiled for another runtime`,
		`${constants.length + inside.length - named} of its ${constants.length + inside.length} constants have no name that says which weight they are, and config.json's values are not in it`,
		...(ids ? [`${ids} keeps weights in a form of its own`] : []),
		"load the checkpoint that it was exported from: the repository that publishes it has pytorch_model.bin or safetensors files, or names the model that has",
	].join("; ");
}
