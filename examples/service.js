// node examples/service.js [PORT]: a web service. curl -N -d "Once upon a time" localhost:8000 streams a story.
import { createServer } from "node:http";
import process from "node:process";
import { Model } from "nibble-lm";

const model = await Model.load();
const server = createServer(async (request, response) => {
	const gone = new AbortController();
	response.once("close", () => gone.abort());
	try {
		let prompt = "";
		for await (const piece of request.setEncoding("utf8")) prompt += piece;
		const story = model.generate(prompt, { signal: gone.signal, seed: 1 });
		response.setHeader("content-type", "text/plain; charset=utf-8");
		for await (const part of story)
			if (part.type === "text") response.write(part.text);
		response.end();
	} catch (error) {
		if (!response.headersSent) response.statusCode = 400;
		if (!gone.signal.aborted) response.end(`${error}\n`);
	}
});
server.listen(Number(process.argv[2] ?? 8000), () =>
	console.log(`http://localhost:${server.address().port}`),
);
process.once("SIGTERM", async () => {
	server.close();
	await model.dispose();
});
