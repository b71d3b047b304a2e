/** What every runtime has to do alike. It runs inside of each: nothing here may depend on where it is. */
import type * as Library from "../../src/runtime/server.ts";

/** What a runtime is given. */
export interface Setting {
	/** The package, as this runtime imports it. */
	readonly library: typeof Library;
	/** Address of a web server over a stage, with what addBehaviours put there. A post to mark has it look at this runtime. */
	readonly site: string;
	/** The stage's folder, where the runtime has files. */
	readonly folder?: string;
}

/** What a runtime answers. */
export interface Report {
	/** By behaviour: null where it was as expected, else what went wrong. */
	readonly failures: Readonly<Record<string, string | null>>;
	readonly threads: number;
	/** Why there were no more. */
	readonly threadLimit: string | null;
	readonly kernels: string;
	/** Tokens that greedy decoding, a seed and pictures gave: the same in every runtime. */
	readonly tokens: Readonly<Record<TokenKind, readonly (readonly number[])[]>>;
	/** Whether files of the Hub were there when they were asked for again. */
	readonly keepsFiles: boolean;
	/** Errors and rejections that nobody handled. */
	readonly unhandled: readonly string[];
}

export type TokenKind = "greedy" | "sampled" | "seen";

interface Golden {
	readonly name: string;
	readonly input_ids: readonly number[];
	readonly greedy_ids: readonly number[];
}

interface GoldenPicture extends Golden {
	readonly question: string;
	/** File beside the goldens. */
	readonly image?: string;
}

interface Stage extends Setting {
	readonly model: Library.Model;
	readonly golden: readonly Golden[];
	readonly tokens: Record<TokenKind, (readonly number[])[]>;
	/** Notes that files were kept. */
	readonly keeps: () => void;
}

function expect(condition: boolean, message: string): asserts condition {
	if (!condition) throw new Error(message);
}

function expectSame(found: unknown, wanted: unknown, what: string): void {
	const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
	expect(a === b, `${what}: found ${a}, expected ${b}`);
}

/** What a promise rejects with. */
async function errorOf(promise: PromiseLike<unknown>): Promise<unknown> {
	const nothing = Symbol();
	const error = await promise.then(
		() => nothing,
		(error) => error,
	);
	expect(error !== nothing, "expected an error, there was none");
	return error;
}

/** What golden.json has, held against greedy tokens of a model, which is disposed of. */
async function expectGolden(
	model: Library.Model,
	{ name, input_ids, greedy_ids }: Golden,
): Promise<void> {
	const { tokenIds } = await model.generate(
		{ ids: input_ids },
		{ doSample: false, maxNewTokens: 40 },
	);
	await model.dispose();
	expectSame(tokenIds, greedy_ids, name);
}

async function json<T>(site: string, path: string): Promise<T> {
	return (await (await fetch(new URL(path, site))).json()) as T;
}

const CYCLES = 100;
/** After so many, engines and allocators have what they keep for good. */
const WARM_CYCLES = 40;
const STORY = "Once upon a time, there was a brave little fox named Lily.";

/** In the order in which they run; the last one ends the model that the others share. */
const stages: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
	async "greedy tokens"({ model, golden, tokens }) {
		for (const { name, input_ids, greedy_ids } of golden) {
			const { tokenIds } = await model.generate(
				{ ids: input_ids },
				{ doSample: false, maxNewTokens: 40 },
			);
			expectSame(tokenIds, greedy_ids, name);
			tokens.greedy.push(tokenIds);
		}
	},

	async "seeded tokens"({ model, tokens }) {
		const { tokenIds, seed } = await model.generate(STORY, {
			temperature: 0.9,
			topP: 0.95,
			seed: 7,
			maxNewTokens: 60,
		});
		expectSame(seed, 7, "seed");
		tokens.sampled.push(tokenIds);
	},

	async streams({ model }) {
		const generation = model.generate(STORY, {
			doSample: false,
			maxNewTokens: 30,
		});
		let text = "";
		let parts = 0;
		for await (const part of generation) {
			expectSame(part.type, "text", "part");
			if (part.type === "text") text += part.text;
			parts++;
		}
		expect(parts > 10, `${parts} parts, expected more than 10`);
		expectSame(text, (await generation).text, "streamed text");
	},

	async "thinks and calls"({ model }) {
		const ask = (content: string, options: Library.GenerateCallOptions) =>
			model.generate([{ role: "user", content }], {
				doSample: false,
				maxNewTokens: 160,
				...options,
			});
		const sum = await ask("What is 17 + 25?", { thinking: true });
		expect(sum.reasoning.includes("42"), `reasoning: ${sum.reasoning}`);
		expect(sum.text.includes("42"), `text: ${sum.text}`);
		const { toolCalls } = await ask("What is the weather in Oslo?", {
			thinking: false,
			tools: [
				{
					type: "function",
					function: {
						name: "get_weather",
						description: "Get the weather of a city",
						parameters: {
							type: "object",
							properties: { city: { type: "string" } },
						},
					},
				},
			],
		});
		expectSame(toolCalls[0]?.arguments, { city: "Oslo" }, "tool call");
	},

	async aborts({ library, model }) {
		const reason = new Error("enough");
		const controller = new AbortController();
		const { signal } = controller;
		const generation = model.generate(STORY, { ignoreEos: true, signal });
		const reading = (async () => {
			for await (const _ of generation) controller.abort(reason);
		})();
		expect((await errorOf(reading)) === reason, "the loop's error");
		expect((await errorOf(generation)) === reason, "the result's error");
		const loading = library.Model.load(undefined, { signal });
		expect((await errorOf(loading)) === reason, "the error of loading");
		const { tokenIds } = await model.generate(STORY, { maxNewTokens: 2 });
		expectSame(tokenIds.length, 2, "tokens afterwards");
	},

	async "reads over http"({ library, site, golden }) {
		let loaded = 0;
		const model = await library.Model.load(new URL("model/", site), {
			threads: 1,
			onProgress: (progress) => {
				loaded = progress.loaded;
			},
		});
		expect(loaded > 5_000_000, `${loaded} bytes reported`);
		await expectGolden(model, golden[0]!);
	},

	async "sees PNG, JPEG, WebP"({ library, site, tokens }) {
		const { cases } = await json<{ cases: GoldenPicture[] }>(
			site,
			"nano-gemma3/golden/golden.json",
		);
		const model = await library.Model.load(new URL("nano-gemma3/", site));
		const ask = async (question: string, image: URL, more = {}) => {
			const content = [
				{ type: "image", image },
				{ type: "text", text: question },
			] as const;
			return model.generate([{ role: "user", content }], {
				doSample: false,
				maxNewTokens: 20,
				...more,
			});
		};
		const seen = cases.filter(({ image }) => image !== undefined);
		expect(seen.length > 0, "no golden case has an image");
		for (const { name, question, image, input_ids, greedy_ids } of seen) {
			const url = new URL(`nano-gemma3/golden/${image}`, site);
			const { promptTokenIds, tokenIds } = await ask(question, url);
			expectSame(promptTokenIds, input_ids, `${name}, prompt`);
			expectSame(tokenIds, greedy_ids, name);
			tokens.seen.push(tokenIds);
		}
		// What is said of these is held against the other runtimes; it is longer than an answer of this model.
		for (const picture of ["420.jpg", "lossy.webp", "lossless.webp"]) {
			const url = new URL(`pictures/${picture}`, site);
			tokens.seen.push(
				(await ask(seen[0]!.question, url, { ignoreEos: true })).tokenIds,
			);
		}
		await model.dispose();
	},

	async "says what is wrong"({ library, site, model }) {
		const { Model, SourceError, OptionError, ContextError } = library;
		const missing = await errorOf(Model.load(new URL("missing/", site)));
		expect(missing instanceof SourceError, `missing files: ${missing}`);
		const path = await errorOf(Model.load("no/such/folder"));
		expect(path instanceof SourceError, `missing path: ${path}`);
		const option = await errorOf(model.generate(STORY, { temperature: -1 }));
		expect(option instanceof OptionError, `option: ${option}`);
		const ids = new Array<number>(5000).fill(631);
		const long = await errorOf(model.generate({ ids }));
		expect(long instanceof ContextError, `long prompt: ${long}`);
	},

	async "one thread, two banks"({ library, golden }) {
		const model = await library.Model.load(undefined, { threads: 1, banks: 2 });
		expectSame(model.info.threads, 1, "threads");
		await expectGolden(model, golden[1]!);
	},

	async "any threads"({ library, model, golden }) {
		const many = await library.Model.load(undefined, { threads: 3 });
		const { threads, threadLimit } = many.info;
		if (model.info.threads > 1) expectSame(threads, 3, "threads");
		expectSame(threads, threadLimit === undefined ? 3 : 1, "threads");
		await expectGolden(many, golden[0]!);
	},

	async "keeps a text"({ model, golden }) {
		const { input_ids, greedy_ids } = golden[2]!;
		const ids = [...input_ids, ...greedy_ids];
		const again = () =>
			model.generate({ ids }, { doSample: false, maxNewTokens: 8 });
		const first = await again();
		const second = await again();
		expectSame(second.tokenIds, first.tokenIds, "tokens");
		const { reusedTokens } = second.timings;
		expect(reusedTokens >= ids.length - 1, `${reusedTokens} tokens reused`);
	},

	async "caches files"({ library, site, folder, golden, keeps }) {
		const { hub: endpoint } = await json<{ hub: string }>(site, "setting.json");
		const cache = folder && `${folder}/cache-${Math.random()}`;
		const hub = { endpoint, ...(cache && { cache }) };
		const load = (localFilesOnly: boolean) =>
			library.Model.load("nano/smol", { hub: { ...hub, localFilesOnly } });
		await expectGolden(await load(false), golden[0]!);
		const kept = await load(true).catch((error: unknown) => error);
		if (kept instanceof library.SourceError) return;
		await expectGolden(kept as Library.Model, golden[0]!);
		keeps();
	},

	async "reads past 4 GiB"({ library, site, folder, golden }) {
		const sources = [new URL("large/", site), folder && `${folder}/large`];
		for (const source of sources)
			if (source)
				await expectGolden(await library.Model.load(source), golden[0]!);
	},

	async "100 loads"({ library, site }) {
		for (let cycle = 1; cycle <= CYCLES; cycle++) {
			const model = await library.Model.load();
			await model.generate(STORY, { maxNewTokens: 2 });
			await model.dispose();
			if (cycle !== WARM_CYCLES && cycle !== CYCLES) continue;
			// Whoever collects garbage now and then has had time to.
			await new Promise((resolve) => setTimeout(resolve, 1000));
			await fetch(new URL("mark", site), { method: "POST" });
		}
	},

	async disposes({ library, model }) {
		const running = model.generate(STORY, { ignoreEos: true });
		const reading = (async () => {
			for await (const _ of running) await model.dispose();
		})();
		const { EngineError } = library;
		expect((await errorOf(reading)) instanceof EngineError, "running text");
		const later = await errorOf(model.generate(STORY));
		expect(later instanceof EngineError, `later text: ${later}`);
		await model.dispose();
	},
};

/** Names of what is tried. */
export const behaviours: readonly string[] = ["loads", ...Object.keys(stages)];

export async function behave(setting: Setting): Promise<Report> {
	const failures: Record<string, string | null> = {};
	const attempt = async (name: string, run: () => Promise<void>) => {
		failures[name] = await run().then(
			() => null,
			(error) => (error instanceof Error ? (error.stack ?? "") : `${error}`),
		);
	};
	const unhandled = watchUnhandled();
	const { cases } = await json<{ cases: Golden[] }>(
		setting.site,
		"golden.json",
	);
	const tokens: Stage["tokens"] = { greedy: [], sampled: [], seen: [] };
	let keepsFiles = false;
	const keeps = () => {
		keepsFiles = true;
	};
	let model: Library.Model | undefined;
	await attempt("loads", async () => {
		model = await setting.library.Model.load();
		expectSame(model.info.architecture, "SmolLM3ForCausalLM", "architecture");
	});
	for (const [name, run] of Object.entries(stages))
		await attempt(name, async () => {
			expect(model !== undefined, "nothing was loaded");
			await run({ ...setting, model, golden: cases, tokens, keeps });
		});
	const info = model?.info;
	return {
		failures,
		threads: info?.threads ?? 0,
		threadLimit: info?.threadLimit ?? null,
		kernels: info?.kernels ?? "none",
		tokens,
		keepsFiles,
		unhandled,
	};
}

/** Fills up with what nobody handles. Node and Bun have no such events: they end with an error code. */
function watchUnhandled(): string[] {
	const found: string[] = [];
	const { addEventListener } = globalThis;
	addEventListener?.("unhandledrejection", ({ reason }) => {
		found.push(`rejection: ${reason}`);
	});
	addEventListener?.("error", ({ message }) => {
		found.push(`error: ${message}`);
	});
	return found;
}
