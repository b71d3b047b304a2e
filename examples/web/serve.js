// node examples/web/serve.js [PORT]: serves the page, with the two headers that let it share memory between threads.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import process from "node:process";
import { folders, notServed, serviceWorker } from "./files.js";

const TYPES = {
	".css": "text/css",
	".html": "text/html",
	".js": "text/javascript",
	".json": "application/json",
	".mjs": "text/javascript",
	".png": "image/png",
	".svg": "image/svg+xml",
};

const HEADERS = {
	"cross-origin-opener-policy": "same-origin",
	"cross-origin-embedder-policy": "require-corp",
	"cache-control": "no-cache",
};

/** Path of the file that an address stands for; undefined where it is none of the page's. */
function fileAt(address) {
	if (address === serviceWorker.address) return serviceWorker.file;
	const [prefix, folder] = folders.find(([start]) => address.startsWith(start));
	const name = decodeURIComponent(address.slice(prefix.length)) || "index.html";
	const path = join(folder, name);
	// An encoded "../" leads nowhere.
	if (!path.startsWith(folder.endsWith(sep) ? folder : folder + sep)) return;
	return notServed.includes(name) ? undefined : path;
}

const server = createServer(async (request, response) => {
	const refuse = (status, why) =>
		response.writeHead(status, HEADERS).end(`${why}\n`);
	try {
		if (!["GET", "HEAD"].includes(request.method))
			return refuse(405, "only GET and HEAD");
		const path = fileAt(new URL(request.url, "http://localhost").pathname);
		const found = path && (await stat(path).catch(() => undefined));
		if (!found?.isFile()) return refuse(404, "not found");
		response.writeHead(200, {
			...HEADERS,
			"content-type": `${TYPES[extname(path)] ?? "application/octet-stream"}; charset=utf-8`,
			"content-length": found.size,
		});
		if (request.method === "HEAD") return response.end();
		createReadStream(path).pipe(response);
	} catch {
		refuse(400, "no such address can be");
	}
});

server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () =>
	console.log(`http://localhost:${server.address().port}`),
);
