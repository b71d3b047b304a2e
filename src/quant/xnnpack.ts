// Weights P [N, K] of ExecuTorch programs: of linear layers, as XNNPACK's graphs hold them, and of embeddings, as operators do:
//
//   qbint4           codes u, [N, K/2 bytes], the even column in the low half of a byte; P.scales BF16 [N, K/g]
//   qcint4           the same with P.scales F32 [N, 1]
//   qcint8           codes q, [N, K]; P.scales F32 [N, 1]
//   embedding_4bit   codes u as above; P.scales T [N, K/g]
//   embedding_byte   codes q as above; P.scales T [N, K/g]
//
//   w = q · s,  q = u − 8        Bits per weight: 4.5 (g32), 4 + 32/K, 8 + 32/K
//
// Inputs of linear layers are rounded as torchao does it. XNNPACK takes the zero point that is the less wrong of two, so that
// its integers may differ by one.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { affineDecoder, affineLayout, blockLabel, int8 } from "./affine.ts";
import { type Precision, widen } from "./floats.ts";
import { unpack } from "./packed-codes.ts";
import {
	expectTensor,
	expectWeights,
	SCALE_TYPES,
	scalePlane,
	tensorPlane,
} from "./planes.ts";
import type { ActivationForm, Scheme, StoredMatrix } from "./scheme.ts";

interface Kind {
	/** For people. */
	readonly name: string;
	readonly bits: 4 | 8;
	readonly scales: readonly string[];
	readonly activation: ActivationForm;
}

const xnnpackKind = (bits: 4 | 8, scales: "BF16" | "F32"): Kind => ({
	name: "XNNPACK",
	bits,
	scales: [scales],
	activation: "token-asymmetric",
});
const embeddingKind = (bits: 4 | 8): Kind => ({
	name: "ExecuTorch embedding",
	bits,
	scales: SCALE_TYPES,
	activation: "f32",
});
const KINDS: ReadonlyMap<string, Kind> = new Map([
	["qbint4", xnnpackKind(4, "BF16")],
	["qcint4", xnnpackKind(4, "F32")],
	["qcint8", xnnpackKind(8, "F32")],
	["embedding_4bit", embeddingKind(4)],
	["embedding_byte", embeddingKind(8)],
]);
const SCALES = ".scales";

export const xnnpack: Scheme = {
	name: "XNNPACK",
	formula: "w = q · s",
	async find({ tensors }, name) {
		const codes = tensors.get(name);
		const kind = codes && KINDS.get(codes.type);
		return kind && matrix(tensors, codes, kind);
	},
	owner({ tensors }, tensor) {
		const name = tensor.endsWith(SCALES) && tensor.slice(0, -SCALES.length);
		return name && KINDS.has(tensors.get(name)?.type ?? "") ? name : undefined;
	},
};

function matrix(
	tensors: Checkpoint["tensors"],
	codes: StoredTensor,
	kind: Kind,
): StoredMatrix {
	const { name, shape, file } = codes;
	const { bits } = kind;
	const [rows = 0, cols = 0] = shape;
	if (shape.length !== 2)
		throw new UnsupportedError(
			`${file}: ${name} is ${codes.type} [${shape}], expected a matrix`,
		);
	expectWeights(codes, rows, cols);
	const scales = tensors.get(name + SCALES);
	if (scales === undefined)
		throw new CheckpointError(`${file}: ${name} has no scales`);
	const groups = scales.shape[1] ?? 1;
	expectTensor(scales, kind.scales, [rows, groups]);
	if ((cols * bits) % 8 !== 0 || cols % groups !== 0)
		throw new CheckpointError(
			`${file}: ${name} has ${cols} columns of ${bits} bits with ${groups} scales, expected whole bytes and groups`,
		);
	const block = cols / groups;
	const planes = [
		tensorPlane("codes", codes, rows),
		scalePlane("scales", scales, rows),
	] as const;
	const bytes = codes.bytes + scales.bytes;
	return {
		scheme: `${kind.name} int${bits} ${blockLabel(block, cols)}`,
		name,
		shape,
		rows,
		cols,
		bitsPerWeight: (8 * bytes) / (rows * cols),
		bytes,
		activation: kind.activation,
		block,
		planes,
		precision: "F32",
		...affineLayout({
			bits,
			block,
			cols,
			scaleType: scales.type as Precision,
			zeros: false,
			codes: bits === 4 ? "packed" : "i8",
		}),
		tensors: [codes, scales],
		decode: affineDecoder({
			cols,
			groups,
			precision: "F32",
			async codes(lo, hi) {
				const stored = await planes[0].read(lo, hi);
				if (bits === 8) return int8(stored);
				// Rows are whole bytes, so they follow each other without a gap.
				const values = new Int8Array((hi - lo) * cols);
				unpack({ bits, dense: true }, stored, values);
				return values;
			},
			scales: async (lo, hi) =>
				widen(scales.type, await planes[1].read(lo, hi)),
		}),
	};
}
