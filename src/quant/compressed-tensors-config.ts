// The quantization_config of compressed-tensors checkpoints: which modules are quantized, and how.
import { CheckpointError, UnsupportedError } from "../errors.ts";
import { compilePattern } from "./pattern.ts";
import type { ActivationForm } from "./scheme.ts";

/** How the weights of a module are quantized, as far as its tensors do not say. */
export interface WeightScheme {
	readonly bits: number;
	readonly type: "int" | "float";
	readonly symmetric: boolean;
	readonly strategy: "tensor" | "channel" | "group" | "block";
	/** Columns per scale where the strategy is "group". */
	readonly groupSize: number;
	/** [rows, columns] per scale where the strategy is "block". */
	readonly blockShape: readonly [number, number];
	readonly activation: ActivationForm;
	/** Bits of the input, 16 where it is not quantized. */
	readonly activationBits: number;
	/** Version of the library that wrote the file, where it says. */
	readonly version: string | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** Vision models list each of their layers; that makes a few hundred. */
const MAX_TARGETS = 4096;
const MAX_NAME = 512;

/** What the configuration says of a module whose tensors are quantized. Throws CheckpointError where it does not cover it. */
export function weightScheme(
	config: Json,
	module: string,
	where: string,
): WeightScheme {
	const quantization = config.quantization_config ?? config.compression_config;
	if (!isRecord(quantization) || !isRecord(quantization.config_groups)) {
		throw new CheckpointError(
			`${where}: ${module} has quantized weights, but config.json has no quantization_config with config_groups`,
		);
	}
	if (rank(quantization.ignore ?? [], module, `${where}: ignore`) > 0) {
		throw new CheckpointError(
			`${where}: ${module} has quantized weights, but quantization_config ignores it`,
		);
	}
	let best = 0;
	let group: unknown;
	for (const [name, candidate] of Object.entries(quantization.config_groups)) {
		// a preset's name may stand for the group, with the targets as its value
		const targets = isRecord(candidate) ? candidate.targets : candidate;
		const match = rank(targets, module, `${where}: config_groups.${name}`);
		if (match > best) [best, group] = [match, candidate];
	}
	if (best === 0) {
		throw new CheckpointError(
			`${where}: ${module} has quantized weights, but no group of quantization_config targets it`,
		);
	}
	if (!isRecord(group) || !isRecord(group.weights)) {
		throw new CheckpointError(
			`${where}: ${module} has quantized weights, but its group of quantization_config describes none`,
		);
	}
	const { version } = quantization;
	return {
		...weightArgs(group.weights, `${where}: quantization of ${module}`),
		...activationArgs(group.input_activations, `${where}: input of ${module}`),
		version: typeof version === "string" ? version : undefined,
	};
}

function weightArgs(args: Json, where: string) {
	const { num_bits: bits, type = "int", symmetric = true } = args;
	if (type !== "int" && type !== "float") {
		throw new UnsupportedError(`${where}: codes of type ${String(type)}`);
	}
	if (
		typeof bits !== "number" ||
		!Number.isInteger(bits) ||
		bits < 1 ||
		bits > 8
	) {
		throw new UnsupportedError(
			`${where}: num_bits is ${String(bits)}, expected 1 to 8`,
		);
	}
	const size = typeof args.group_size === "number" ? args.group_size : 0;
	const implied = size > 0 ? "group" : size === -1 ? "channel" : "tensor";
	const strategy = args.strategy ?? implied;
	if (
		strategy !== "tensor" &&
		strategy !== "channel" &&
		strategy !== "group" &&
		strategy !== "block"
	) {
		throw new UnsupportedError(`${where}: strategy ${String(strategy)}`);
	}
	if (strategy === "group" && !(Number.isInteger(size) && size > 0)) {
		throw new CheckpointError(
			`${where}: group_size is ${String(args.group_size)}, expected a number of columns`,
		);
	}
	const [high = 0, wide = 0] = Array.isArray(args.block_structure)
		? args.block_structure.map(Number)
		: [];
	if (
		strategy === "block" &&
		![high, wide].every((n) => Number.isInteger(n) && n > 0)
	) {
		throw new CheckpointError(
			`${where}: block_structure is ${String(args.block_structure)}, expected [rows, columns]`,
		);
	}
	return {
		bits,
		type,
		symmetric: symmetric !== false,
		strategy,
		groupSize: size,
		blockShape: [high, wide],
	} as const;
}

function activationArgs(
	args: unknown,
	where: string,
): Pick<WeightScheme, "activation" | "activationBits"> {
	if (!isRecord(args)) return { activation: "f32", activationBits: 16 };
	const { num_bits: bits, type = "int", strategy, dynamic } = args;
	if (type === "float" && bits === 8) {
		// fp8 rounding of the input is not imitated: f32 is closer to the unquantized model
		return { activation: "f32", activationBits: 8 };
	}
	const isDynamic = dynamic === true;
	if (bits === 8 && strategy === "tensor" && !isDynamic) {
		return { activation: "static", activationBits: 8 };
	}
	if (bits !== 8 || strategy !== "token" || !isDynamic) {
		throw new UnsupportedError(
			`${where}: quantized to ${String(bits)} bits per ${String(strategy)}, ${isDynamic ? "dynamic" : "static"}; what is computed is 8 bits per token, dynamic, or per tensor, static`,
		);
	}
	const symmetric = args.symmetric !== false;
	return {
		activation: symmetric ? "token-symmetric" : "token-asymmetric",
		activationBits: 8,
	};
}

/**
 * How well a list of targets matches a module: 3 by its full name, 2 by a pattern ("re:" and a regular expression that
 * matches from the start of the name), 1 by its class, 0 not at all.
 */
function rank(targets: unknown, module: string, where: string): number {
	if (!Array.isArray(targets)) {
		throw new CheckpointError(
			`${where} is ${JSON.stringify(targets)}, expected a list of targets`,
		);
	}
	if (targets.length > MAX_TARGETS || module.length > MAX_NAME) {
		throw new UnsupportedError(
			`${where}: ${targets.length} targets for a name of ${module.length} characters, expected at most ${MAX_TARGETS} and ${MAX_NAME}`,
		);
	}
	const leaf = module.slice(module.lastIndexOf(".") + 1);
	const className = leaf.includes("embed") ? "Embedding" : "Linear";
	let best = 0;
	for (const target of targets) {
		if (target === module) return 3;
		if (target === className) best = Math.max(best, 1);
		if (typeof target !== "string" || !target.startsWith("re:")) continue;
		if (compilePattern(target.slice(3), where)(module)) best = 2;
	}
	return best;
}

function isRecord(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
