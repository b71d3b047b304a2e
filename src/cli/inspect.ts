import process from "node:process";
import {
	type Estimate,
	type Inspection,
	Model,
	type TensorPiece,
} from "../runtime/server.ts";
import { command, table, UsageError } from "./arguments.ts";
import { sourceFlags } from "./flags.ts";
import { describeProgram } from "./inspect-program.ts";
import { sourceOptions } from "./loading.ts";
import { saveNpy } from "./npy.ts";
import { formatBytes } from "./progress.ts";

export const inspect = command({
	about: "What is in a checkpoint and what it takes, without loading it.",
	operands: "[SOURCE]",
	flags: [...sourceFlags, "context-tokens", "all", "tensor", "save", "json"],
	async run(flags, operands) {
		if (operands.length + (flags.model === undefined ? 0 : 1) > 1)
			throw new UsageError("found several checkpoints, expected one");
		const source = flags.model ?? operands[0];
		const options = sourceOptions(flags);
		const { tensor, save } = flags;
		if (tensor !== undefined || save !== undefined) {
			if (tensor === undefined || save === undefined)
				throw new UsageError("expected --tensor and --save together");
			const saved = await saveTensor(
				Model.readTensor(source, tensor, options),
				tensor,
				save,
			);
			process.stdout.write(
				flags.json
					? `${JSON.stringify(saved)}\n`
					: `${saved.file}: ${saved.name} [${saved.shape.join(", ")}], stored as ${saved.scheme}\n`,
			);
			return 0;
		}
		const inspection = await Model.inspect(source, options);
		const estimate =
			inspection.memory &&
			(await Model.estimate(source, {
				...options,
				contextTokens: flags["context-tokens"],
			}));
		process.stdout.write(
			flags.json
				? `${JSON.stringify({ ...inspection, estimate }, plainValue)}\n`
				: describe(inspection, estimate, flags.all ?? false),
		);
		return 0;
	},
});

async function saveTensor(
	pieces: AsyncIterable<TensorPiece>,
	tensor: string,
	file: string,
) {
	// Whoever mixes up the names should not lose a checkpoint.
	if (!/\.npy$/i.test(file))
		throw new UsageError(
			`--save is "${file}", expected a name that ends in .npy`,
		);
	const last = await saveNpy(file, pieces);
	if (last === undefined) throw new Error(`${tensor}: came without values`);
	const { name, scheme, shape } = last;
	return { file, name, scheme, shape };
}

/** GGUF metadata holds 64-bit integers, which JSON writes as numbers too; programs have maps. */
function plainValue(_key: string, value: unknown): unknown {
	if (value instanceof Map) return Object.fromEntries(value);
	return typeof value === "bigint" ? Number(value) : value;
}

function describe(
	inspection: Inspection,
	estimate: Estimate | undefined,
	all: boolean,
): string {
	const { memory, tensors, program } = inspection;
	const facts: [string, string][] = [
		["checkpoint", `${inspection.name} (${inspection.container})`],
		["architecture", inspection.architecture ?? "unknown"],
		[
			"parameters",
			`${(inspection.parameters / 1e6).toFixed(2)} million in ${tensors.length} tensors`,
		],
		["stored", formatBytes(inspection.bytes)],
	];
	if (memory && estimate) {
		const { weightBytes, activationBytes, totalBytes, contextTokens, fits } =
			estimate;
		const verdict = { true: ", which fits", false: ", which does not fit" };
		facts.push(
			["weights in memory", formatBytes(weightBytes)],
			["activations", formatBytes(activationBytes)],
			[
				"keys and values",
				`${formatBytes(Math.round(memory.cacheBytesPerToken))} per token`,
			],
			[
				"memory in all",
				`${formatBytes(totalBytes)} with a text of ${contextTokens} tokens${fits === undefined ? "" : verdict[`${fits}`]}`,
			],
		);
	}
	if (inspection.unsupported)
		facts.push(["cannot run", inspection.unsupported]);

	const schemes = Object.entries(inspection.schemes)
		.sort(([, a], [, b]) => b.bytes - a.bytes)
		.map(([name, { tensors, bytes }]): [string, string] => [
			name,
			`${formatBytes(bytes).padStart(8)} in ${tensors} tensors`,
		]);
	const listed = tensors.map(
		({ name, shape, scheme, type, bytes, layout }): [string, string] => [
			name,
			`${`[${shape.join(", ")}]`.padEnd(16)} ${formatBytes(bytes).padStart(8)}  ${scheme ?? `${type} (unknown)`} → ${layout ?? "no kernel"}`,
		],
	);
	return [
		...table(facts),
		"",
		...table(schemes),
		...(program ? describeProgram(program) : []),
		...(all ? ["", ...table(listed)] : []),
		"",
	].join("\n");
}
