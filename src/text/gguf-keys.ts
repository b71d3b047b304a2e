import { CheckpointError } from "../errors.ts";
import { endTokenIds, TokenType } from "../gguf-conventions.ts";
import type { AddedToken } from "./added-tokens.ts";
import type { Stages } from "./pipeline.ts";

/** Keys and values of a GGUF file's metadata. Arrays may be anything with a length and indices, or anything iterable. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

export interface SpecialIds {
	readonly bos: number | undefined;
	readonly eos: number | undefined;
	readonly unknown: number | undefined;
}

/** Typed access to the `tokenizer.ggml.*` keys. */
export type GgufKeys = ReturnType<typeof ggufKeys>;

/** @param where The file, for error messages. */
export function ggufKeys(metadata: GgufMetadata, where: string) {
	const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
	const lists = new Map<string, readonly unknown[]>();

	const list = (key: string): readonly unknown[] => {
		let values = lists.get(key);
		if (values === undefined) {
			const value = get(key);
			if (typeof value !== "object" || value === null) {
				throw new CheckpointError(
					`${where}: tokenizer.ggml.${key} is ${value === undefined ? "missing" : typeof value}, expected an array`,
				);
			}
			values = Array.isArray(value)
				? value
				: Array.from(value as Iterable<unknown> | ArrayLike<unknown>);
			lists.set(key, values);
		}
		return values;
	};

	let checked: readonly string[] | undefined;
	const tokens = (): readonly string[] => {
		if (checked) return checked;
		const values = list("tokens");
		const wrong = values.findIndex((token) => typeof token !== "string");
		if (wrong >= 0 || values.length === 0) {
			throw new CheckpointError(
				`${where}: tokenizer.ggml.tokens ${values.length === 0 ? "is empty" : `has a ${typeof values[wrong]} at ${wrong}`}, expected strings`,
			);
		}
		checked = values as string[];
		return checked;
	};

	/** An id outside the vocabulary, such as the 2³²−1 of old converters, means that there is no such token. */
	const id = (key: string): number | undefined => {
		const value = get(`${key}_token_id`);
		if (typeof value !== "number" && typeof value !== "bigint") {
			return undefined;
		}
		const number = Number(value);
		return number >= 0 && number < list("tokens").length ? number : undefined;
	};

	const types = (): readonly number[] => {
		const count = tokens().length;
		// Very old files have no types; all their tokens are normal.
		if (get("token_type") === undefined) {
			return new Array<number>(count).fill(TokenType.normal);
		}
		const values = list("token_type") as number[];
		if (values.length !== count) {
			throw new CheckpointError(
				`${where}: tokenizer.ggml.token_type has ${values.length} elements, expected ${count}, one per token`,
			);
		}
		return values;
	};

	const flag = (key: string, fallback: boolean): boolean => {
		const value = get(key);
		return typeof value === "boolean" ? value : fallback;
	};

	return {
		where,
		list,
		types,
		flag,
		tokens,
		special: (fallback: Partial<SpecialIds>): SpecialIds => ({
			bos: id("bos") ?? fallback.bos,
			eos: id("eos") ?? fallback.eos,
			unknown: id("unknown") ?? fallback.unknown,
		}),
		specialTokens({ bos, eos, unknown }: SpecialIds): Record<string, string> {
			const ids = {
				bos_token: bos,
				eos_token: eos,
				unk_token: unknown,
				pad_token: id("padding"),
			};
			const all = tokens();
			return Object.fromEntries(
				Object.entries(ids).flatMap(([name, id]) => {
					const token = id === undefined ? undefined : all[id];
					return token === undefined ? [] : [[name, token]];
				}),
			);
		},
		addedTokens(): AddedToken[] {
			const typeOf = types();
			return tokens().flatMap((content, id) => {
				const type = Number(typeOf[id]);
				return type === TokenType.control ||
					type === TokenType.userDefined ||
					type === TokenType.unknown
					? [added(id, content, type !== TokenType.userDefined)]
					: [];
			});
		},
		ends({ bos, eos }: SpecialIds) {
			const given = [id("eot"), id("eom")].filter((id) => id !== undefined);
			return { bos, eos, ends: [...given, ...endTokenIds(tokens())] };
		},
		affixes(
			{ bos, eos }: SpecialIds,
			addBos: boolean,
		): Pick<Stages, "prefix" | "suffix"> {
			const begin = flag("add_bos_token", addBos) ? bos : undefined;
			const end = flag("add_eos_token", false) ? eos : undefined;
			return {
				prefix: begin === undefined ? [] : [begin],
				suffix: end === undefined ? [] : [end],
			};
		},
	};
}

function added(id: number, content: string, special: boolean): AddedToken {
	return {
		id,
		content,
		special,
		lstrip: false,
		rstrip: false,
		singleWord: false,
		normalized: false,
	};
}
