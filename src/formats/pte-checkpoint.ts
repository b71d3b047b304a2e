// An ExecuTorch program as a checkpoint: its constants are tensors, which can be read; and where config.json lies beside it
// and agrees with what it computes, those of a Llama or SmolLM3 have names, and a model can be loaded.
//
// The exporter writes names for tensors that change and for those in other files, not for weights, and equal weights are stored
// once; the graph is cut into delegates. pte-decoder.ts finds what each weight is for. What config.json says is not in a
// program: rotary frequencies, epsilons; nor is a tokenizer.
//
// A quantized constant is two tensors here: "<name>", and "<name>.scales", BF16 [N, K/g] or F32 [N, 1] of XNNPACK's types
// "qbint4", "qcint4" and "qcint8" [N, K], floats [N, K/g] of the operators' "embedding_byte" and "embedding_4bit".
import { UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Checkpoint, Completed, Format } from "./checkpoint.ts";
import {
	type Extent,
	isPte,
	type Pte,
	type PteMethod,
	readPte,
} from "./pte.ts";
import { findDecoder } from "./pte-decoder.ts";
import { traceMethod } from "./pte-flow.ts";
import { completed, nameWeights } from "./pte-names.ts";
import { tensorsOf } from "./pte-tensors.ts";

export const pte: Format = {
	name: "pte",
	matches: isPte,
	async open(source) {
		const { program, methods } = await readPte(source);
		return {
			tensors: tensorsOf(program, source),
			metadata: program.metadata,
			program,
			unsupported: alone(program),
			complete: (config) => named(source, program, methods, config),
		};
	},
};

/** What the program is a checkpoint of, where that is certain; or why it is not. */
async function named(
	source: ByteSource,
	program: Pte,
	methods: readonly PteMethod[],
	config: Checkpoint["config"],
): Promise<Completed> {
	const { name } = program;
	try {
		const decoder = findDecoder(traceMethod(onlyOne(methods)));
		const weights = nameWeights(decoder, config);
		for (const { name, zeros } of weights)
			if (zeros && !(await isZero(source, zeros)))
				throw new UnsupportedError(`${name} has zero points other than zero`);
		return {
			tensors: tensorsOf(program, source, weights),
			config: completed(decoder, config),
			unsupported: undefined,
		};
	} catch (error) {
		if (error instanceof UnsupportedError)
			return { unsupported: `${name}: ${error.message}; ${INSTEAD}` };
		throw error;
	}
}

function onlyOne(methods: readonly PteMethod[]): PteMethod {
	const [method, other] = methods;
	if (method && !other) return method;
	const names = methods.map(({ name }) => name).join(", ");
	throw new UnsupportedError(
		`an ExecuTorch program with the methods ${names || "none"}, expected one, from token ids to logits`,
	);
}

/** Why nothing can be loaded from a program without config.json. */
function alone({ name, plans }: Pte): string {
	const opaque = plans
		.flatMap(({ delegates }) => delegates)
		.filter(({ xnnpack }) => xnnpack === undefined);
	const ids = [...new Set(opaque.map(({ id }) => id))].join(", ");
	return [
		`${name}: an ExecuTorch program, in which weights have no names and config.json's values are missing; without that file beside it, it cannot be told what they are`,
		...(ids ? [`${ids} keeps weights in a form of its own`] : []),
		INSTEAD,
	].join("; ");
}

const INSTEAD =
	"load the checkpoint that it was exported from: the repository that publishes it has pytorch_model.bin or safetensors files, or names the model that has";

async function isZero(source: ByteSource, place: Extent): Promise<boolean> {
	const bytes = await source.read(place.offset, place.bytes);
	return bytes.every((byte) => byte === 0);
}
