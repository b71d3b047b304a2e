// A Cloudflare Worker: answers the text of a request with a story, as it is written. Bundle it with the condition "workerd".
import { Model } from "nibble-lm";

// Loaded with the first request, and kept for those that come after it.
let loading: ReturnType<typeof Model.load> | undefined;

export default {
	async fetch(request: Request): Promise<Response> {
		loading ??= Model.load();
		const model = await loading;
		const prompt = (await request.text()) || "Once upon a time";
		const parts = model
			.generate(prompt, { maxNewTokens: 40, signal: request.signal })
			[Symbol.asyncIterator]();
		const body = new ReadableStream<string>({
			async pull(controller) {
				const { done, value } = await parts.next();
				if (done) controller.close();
				else if (value.type === "text") controller.enqueue(value.text);
			},
			async cancel() {
				await parts.return();
			},
		});
		return new Response(body.pipeThrough(new TextEncoderStream()), {
			// Compression would hold back what is short.
			headers: { "content-encoding": "identity" },
		});
	},
};
