import { CheckpointError } from "../errors.ts";

/** Reads config.json. A key without a default is required: a missing one is an error that names it. A null counts as missing. */
export interface Config {
	/** What a person would call it, for error messages. */
	readonly file: string;
	number(key: string, missing?: number): number;
	flag(key: string, missing?: boolean): boolean;
	text(key: string, missing?: string): string;
	/** A list of numbers, or undefined where there is none. */
	numbers(key: string): readonly number[] | undefined;
	/** A list of strings, or undefined where there is none. */
	texts(key: string): readonly string[] | undefined;
	/** A nested object, or undefined where there is none. */
	section(key: string): Config | undefined;
}

/** @param file what a person would call the configuration, for error messages */
export function readConfig(
	values: Readonly<Record<string, unknown>>,
	file: string,
): Config {
	const wrong = (key: string, expected: string) =>
		new CheckpointError(
			values[key] === undefined || values[key] === null
				? `${file}: key "${key}" is missing, expected ${expected}`
				: `${file}: key "${key}" is ${JSON.stringify(values[key])}, expected ${expected}`,
		);
	const read = <V>(
		key: string,
		expected: string,
		is: (value: unknown) => value is V,
		missing: V | undefined,
	): V => {
		const value = values[key] ?? missing;
		if (!is(value)) throw wrong(key, expected);
		return value;
	};
	const list = <V>(
		key: string,
		expected: string,
		is: (value: unknown) => value is V,
	): V[] | undefined => {
		const value = values[key];
		if (value === undefined || value === null) return undefined;
		if (!Array.isArray(value) || !value.every(is)) throw wrong(key, expected);
		return value;
	};
	return {
		file,
		number: (key, missing) => read(key, "a number", isNumber, missing),
		flag: (key, missing) => read(key, "true or false", isFlag, missing),
		text: (key, missing) => read(key, "a string", isText, missing),
		numbers: (key) => list(key, "a list of numbers", isNumber),
		texts: (key) => list(key, "a list of strings", isText),
		section(key) {
			const value = values[key];
			if (value === undefined || value === null) return undefined;
			if (typeof value !== "object" || Array.isArray(value))
				throw wrong(key, "an object");
			return readConfig(value as Record<string, unknown>, `${file}: ${key}`);
		},
	};
}

const isNumber = (value: unknown): value is number =>
	typeof value === "number" && Number.isFinite(value);
const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
const isText = (value: unknown): value is string => typeof value === "string";

/** More layers than any model has, and larger heads; a file that claims them wants memory. */
const MAX_LAYERS = 1024;
const MAX_HEAD_SIZE = 4096;
const MAX_SIZE = 2 ** 31 - 1;

/** A number of layers: from 1 to 1,024. */
export function readLayers(hf: Config, missing?: number): number {
	return readSize(hf, "num_hidden_layers", missing, MAX_LAYERS);
}

/** Numbers of a head: from 1 to 4,096. */
export function readHeadSize(hf: Config, missing: number): number {
	return readSize(hf, "head_dim", missing, MAX_HEAD_SIZE);
}

/** A size that arrays are made of: a whole number from 1 to `most`. */
export function readSize(
	hf: Config,
	key: string,
	missing?: number,
	most = MAX_SIZE,
): number {
	const value = hf.number(key, missing);
	if (!Number.isSafeInteger(value) || value < 1 || value > most)
		throw new CheckpointError(
			`${hf.file}: key "${key}" is ${value}, expected a whole number from 1 to ${most}`,
		);
	return value;
}
