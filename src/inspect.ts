import { Graph } from "./engine/graph.ts";
import { PAGE_POSITIONS, pageBytes } from "./engine/layouts.ts";
import { UnsupportedError } from "./errors.ts";
import type { Checkpoint } from "./formats/checkpoint.ts";
import type { Pte } from "./formats/pte.ts";
import { findArchitecture } from "./models/architectures.ts";
import { planModel } from "./plan.ts";
import { findMatrix, matrixNames, type StoredMatrix } from "./quant/scheme.ts";
import { layoutName } from "./weights.ts";

/** A weight of a checkpoint. */
export interface InspectedTensor {
	readonly name: string;
	/** Outermost first. */
	readonly shape: readonly number[];
	/** What its bits mean: "BF16", "Q4_K", "torchao int4 g32". Undefined where this version cannot read them. */
	readonly scheme: string | undefined;
	/** Element type or types as stored. */
	readonly type: string;
	/** Stored bytes that carry information. */
	readonly bytes: number;
	/** Layout in memory, undefined where no kernel reads it. */
	readonly layout: string | undefined;
}

/** What an ExecuTorch program (.pte) consists of. Extents are byte ranges of the file. */
export type ProgramInspection = Pick<
	Pte,
	"version" | "metadata" | "plans" | "namedData"
>;

/** What is in a checkpoint, found without reading weights. */
export interface Inspection {
	readonly name: string;
	/** "pte" is an ExecuTorch program: its weights have names where config.json lies beside it and agrees with it. */
	readonly container: Checkpoint["container"];
	/** Entry of config.json's `architectures`. */
	readonly architecture: string | undefined;
	/** Why this version cannot run it; undefined where it can. */
	readonly unsupported: string | undefined;
	readonly parameters: number;
	/** Stored bytes of all tensors. */
	readonly bytes: number;
	readonly schemes: Readonly<
		Record<string, { readonly tensors: number; readonly bytes: number }>
	>;
	/** What running it takes; undefined where this version cannot run it. */
	readonly memory:
		| {
				readonly weightBytes: number;
				readonly cacheBytesPerToken: number;
				readonly contextTokens: number;
		  }
		| undefined;
	readonly tensors: readonly InspectedTensor[];
	readonly config: Readonly<Record<string, unknown>>;
	readonly metadata: Readonly<Record<string, unknown>>;
	/** What an ExecuTorch program holds besides tensors; undefined for checkpoints. */
	readonly program?: ProgramInspection;
}

/** Describes a checkpoint. Throws CheckpointError where it contradicts itself; what merely cannot be run is part of the answer. */
export async function inspectCheckpoint(
	checkpoint: Checkpoint,
): Promise<Inspection> {
	const tensors: InspectedTensor[] = [];
	const schemes: Record<string, { tensors: number; bytes: number }> = {};
	for (const name of matrixNames(checkpoint)) {
		const tensor = await inspectTensor(checkpoint, name);
		tensors.push(tensor);
		const scheme = tensor.scheme ?? tensor.type;
		const sum = schemes[scheme] ?? { tensors: 0, bytes: 0 };
		schemes[scheme] = sum;
		sum.tensors++;
		sum.bytes += tensor.bytes;
	}
	const running = await planMemory(checkpoint);
	const { program } = checkpoint;
	return {
		name: checkpoint.name,
		container: checkpoint.container,
		architecture: running.architecture,
		unsupported: running.unsupported,
		parameters: tensors.reduce(
			(sum, t) => sum + t.shape.reduce((n, d) => n * d, 1),
			0,
		),
		bytes: tensors.reduce((sum, t) => sum + t.bytes, 0),
		schemes,
		memory: running.memory,
		tensors,
		config: checkpoint.config,
		metadata: checkpoint.metadata,
		...(program && { program: partsOf(program) }),
	};
}

const partsOf = ({
	version,
	metadata,
	plans,
	namedData,
}: Pte): ProgramInspection => ({ version, metadata, plans, namedData });

async function inspectTensor(
	checkpoint: Checkpoint,
	name: string,
): Promise<InspectedTensor> {
	const stored = checkpoint.tensors.get(name);
	try {
		const matrix = await findMatrix(checkpoint, name);
		if (matrix) {
			const isMatrix = matrix.shape.length > 1;
			return {
				name,
				shape: matrix.shape,
				scheme: matrix.scheme,
				type: [...new Set(matrix.tensors.map((t) => t.type))].join("+"),
				bytes: matrix.bytes,
				layout: isMatrix ? layoutIn(matrix) : "f32",
			};
		}
	} catch (error) {
		if (!(error instanceof UnsupportedError)) throw error;
	}
	return {
		name,
		shape: stored?.shape ?? [],
		scheme: undefined,
		type: stored?.type ?? "unknown",
		bytes: stored?.bytes ?? 0,
		layout: undefined,
	};
}

function layoutIn(matrix: StoredMatrix): string | undefined {
	try {
		return layoutName(matrix);
	} catch {
		return undefined;
	}
}

async function planMemory(
	checkpoint: Checkpoint,
): Promise<Pick<Inspection, "architecture" | "unsupported" | "memory">> {
	let architecture: string | undefined;
	const { unsupported } = checkpoint;
	if (unsupported) return { architecture, unsupported, memory: undefined };
	try {
		architecture = findArchitecture(
			checkpoint.config,
			checkpoint.origins.config,
		).name;
		const plan = await planModel(checkpoint);
		const graph = new Graph();
		plan.record(graph);
		const cacheBytes = [...graph.caches.values()].reduce(
			(sum, c) => sum + pageBytes(graph.cacheType, c.kvHeads, c.d),
			0,
		);
		return {
			architecture,
			unsupported: undefined,
			memory: {
				weightBytes: plan.weightBytes,
				cacheBytesPerToken: cacheBytes / PAGE_POSITIONS,
				contextTokens: plan.sizes.contextTokens,
			},
		};
	} catch (error) {
		if (!(error instanceof Error) || error.name === "TypeError") throw error;
		return { architecture, unsupported: error.message, memory: undefined };
	}
}
