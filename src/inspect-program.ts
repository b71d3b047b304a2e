import {
	type Extent,
	type Pte,
	type PtePlan,
	pteRefusal,
	readPte,
} from "./formats/pte.ts";
import type { InspectedTensor, Inspection } from "./inspect.ts";
import type { ByteSource } from "./sources/source.ts";

/** What an ExecuTorch program (.pte) consists of. Extents are byte ranges of the file. */
export type ProgramInspection = Pick<
	Pte,
	"version" | "metadata" | "plans" | "namedData"
>;

/** Describes an ExecuTorch program: its weights as tensors, and why it is not loaded. Throws CheckpointError where it is damaged. */
export async function inspectProgram(source: ByteSource): Promise<Inspection> {
	const { name, bytes, version, metadata, plans, namedData } =
		await readPte(source);
	const tensors = weightsOf(plans);
	const schemes: Record<string, { tensors: number; bytes: number }> = {};
	for (const { type, bytes } of tensors) {
		const { [type]: sum = { tensors: 0, bytes: 0 } } = schemes;
		schemes[type] = { tensors: sum.tensors + 1, bytes: sum.bytes + bytes };
	}
	return {
		name,
		container: "pte",
		architecture: undefined,
		unsupported: pteRefusal(name).message,
		parameters: tensors.reduce(
			(sum, t) => sum + t.shape.reduce((n, d) => n * d, 1),
			0,
		),
		bytes,
		schemes,
		memory: undefined,
		tensors,
		config: {},
		metadata,
		program: { version, metadata, plans, namedData },
	};
}

/** Constants of the plans and weights of delegates, each once: plans may share them. */
function weightsOf(plans: readonly PtePlan[]): InspectedTensor[] {
	const found = new Map<string, InspectedTensor>();
	const add = (
		{ offset, bytes }: Extent,
		tensor: Pick<InspectedTensor, "name" | "shape" | "type">,
		moreBytes = 0,
	) => {
		const place = `${offset} ${bytes}`;
		if (found.has(place)) return;
		found.set(place, {
			...tensor,
			scheme: undefined,
			bytes: bytes + moreBytes,
			layout: undefined,
		});
	};
	for (const plan of plans) {
		for (const [i, { name, type, shape, constant }] of plan.tensors.entries())
			if (constant)
				add(constant, { name: name ?? `${plan.name}.${i}`, type, shape });
		for (const [d, { id, xnnpack }] of plan.delegates.entries())
			for (const [i, linear] of (xnnpack?.linears ?? []).entries()) {
				const { key, type, groupSize, shape, weights, scales } = linear;
				if (weights)
					add(
						weights,
						{
							name: key ?? `${plan.name}.${id}.${d}.${i}`,
							type: groupSize > 0 ? `${type} g${groupSize}` : type,
							shape,
						},
						scales?.bytes,
					);
			}
	}
	return [...found.values()];
}
