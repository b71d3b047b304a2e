// Which files the page is made of, by address: its own, and the library's wherever Node finds them.
import { fileURLToPath } from "node:url";

/** Folder of a file inside a package, as a path. */
const folderOf = (specifier, relative = ".") =>
	fileURLToPath(new URL(relative, import.meta.resolve(specifier)));

const library = folderOf("nibble-lm", "..");

/** Folders by the address that their files are found below. The first that fits an address counts. */
export const folders = [
	["/lib/nibble-lm/", library],
	["/lib/jinja/", folderOf("@huggingface/jinja")],
	["/lib/tokenizers/", folderOf("@huggingface/tokenizers")],
	["/lib/fflate/", folderOf("fflate")],
	["/", fileURLToPath(new URL(".", import.meta.url))],
];

/** A service worker has to lie where its scope begins. */
export const serviceWorker = {
	address: "/coi-serviceworker.js",
	file: `${library}runtime/coi-serviceworker.js`,
};

/** Of the page's own folder: what no page asks for. */
export const notServed = ["files.js", "serve.js", "pack.js", "screenshot.png"];
