// node examples/web/pack.js FOLDER: writes all files of the page into a folder, for any static host, also below a path.
// A host that cannot send headers, such as GitHub Pages, is helped out by the service worker among them.
import { cpSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import process from "node:process";
import { folders, notServed, serviceWorker } from "./files.js";

const [, , target] = process.argv;
if (target === undefined) {
	console.error("node examples/web/pack.js FOLDER");
	process.exit(2);
}

/** Of the library's folders scripts are all that a page asks for. */
const isWanted = (path, address) =>
	statSync(path).isDirectory() ||
	(address === "/"
		? !notServed.includes(basename(path))
		: [".js", ".mjs"].includes(extname(path)));

for (const [address, folder] of folders)
	cpSync(folder, join(target, address), {
		recursive: true,
		filter: (path) => isWanted(path, address),
	});
cpSync(serviceWorker.file, join(target, serviceWorker.address));
console.log(`${target}: put it on a server, and open index.html there`);
