/** A Worker that streams what a model from a bucket writes: POST /?max=20 with the prompt. GET / says how large its memories are. */
import { Model } from "nibble-lm/bare";

/** What of R2 is used. */
interface Bucket {
	head(key: string): Promise<{ readonly size: number }>;
	get(
		key: string,
		options: { readonly range: { offset: number; length: number } },
	): Promise<Pick<Blob, "arrayBuffer">>;
}

/** Every memory that is made, also those that nobody else holds any more. */
const memories: WebAssembly.Memory[] = [];
WebAssembly.Memory = class extends WebAssembly.Memory {
	constructor(descriptor: WebAssembly.MemoryDescriptor) {
		super(descriptor);
		memories.push(this);
	}
};

const NAME = "model.gguf";

async function load(bucket: Bucket): Promise<Model> {
	const { size } = await bucket.head(NAME);
	return Model.load(
		{
			name: NAME,
			size,
			async read(offset, length, into = new Uint8Array(length)) {
				const object = await bucket.get(NAME, { range: { offset, length } });
				into.set(new Uint8Array(await object.arrayBuffer()));
				return into.subarray(0, length);
			},
		},
		{ contextTokens: 512, cache: "i8" },
	);
}

let loading: Promise<Model> | undefined;

export default {
	async fetch(request: Request, { MODELS }: { MODELS: Bucket }) {
		if (request.method === "GET")
			return Response.json(memories.map(({ buffer }) => buffer.byteLength));
		loading ??= load(MODELS);
		const model = await loading;
		const maxNewTokens = Number(new URL(request.url).searchParams.get("max"));
		const answer = model.generate(await request.text(), {
			maxNewTokens,
			ignoreEos: true,
			doSample: false,
		});
		const { readable, writable } = new TextEncoderStream();
		const writer = writable.getWriter();
		const write = async () => {
			for await (const part of answer)
				if (part.type === "text") await writer.write(part.text);
			await writer.close();
		};
		write().catch((error) => writer.abort(error));
		const { tokenizer } = model;
		return new Response(readable, {
			headers: {
				// Compression would hold back what is short.
				"content-encoding": "identity",
				vocabulary: `${tokenizer.vocabularySize}`,
			},
		});
	},
};
