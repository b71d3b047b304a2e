// The input of a compressed-tensors layer P that is quantized with one scale for all tokens:
//
//   P.input_scale       T [1]
//   P.input_zero_point  I8 [1], where asymmetric
//
//   x ≈ (q − z) · s
import { CheckpointError } from "../errors.ts";
import type { Checkpoint, StoredTensor } from "../formats/checkpoint.ts";
import { int8 } from "./affine.ts";
import { widen } from "./floats.ts";
import { expectTensor, SCALE_TYPES } from "./planes.ts";
import type { StoredMatrix } from "./scheme.ts";

const SHAPES = [[1], []];

export interface StaticInput {
	readonly input: NonNullable<StoredMatrix["input"]>;
	readonly tensors: readonly StoredTensor[];
}

/** Throws CheckpointError where the scale is missing, or is no positive number. */
export async function staticInput(
	{ tensors, name }: Checkpoint,
	module: string,
): Promise<StaticInput> {
	const scales = tensors.get(`${module}.input_scale`);
	const zeros = tensors.get(`${module}.input_zero_point`);
	if (scales === undefined) {
		throw new CheckpointError(
			`${name}: the configuration says static inputs, but ${module}.input_scale is missing`,
		);
	}
	expectTensor(scales, SCALE_TYPES, ...SHAPES);
	if (zeros) expectTensor(zeros, ["I8"], ...SHAPES);
	const scale = widen(scales.type, await scales.read())[0]!;
	if (!(scale > 0 && scale < Infinity)) {
		throw new CheckpointError(
			`${scales.file}: ${scales.name} is ${scale}, expected a positive number`,
		);
	}
	const zero = zeros ? int8(await zeros.read())[0]! : 0;
	return {
		input: { scale, zero },
		tensors: zeros ? [scales, zeros] : [scales],
	};
}
