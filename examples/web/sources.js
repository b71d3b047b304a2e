// From what a visitor picks, drops or types to what Model.load takes: { label, source, options }.
import { $, make } from "./dom.js";
import { remembered } from "./memory.js";

/** Small enough to try, and open to everybody. */
const SUGGESTIONS = [
	"HuggingFaceTB/SmolLM2-135M-Instruct",
	"HuggingFaceTB/SmolLM2-360M-Instruct",
];

export const EMBEDDED = { label: "Nano", embedded: true, options: {} };

/** What of a GGUF model sees is a file of its own. */
const isEyes = ({ name }) => /^mmproj.*\.gguf$/i.test(name);

const isWeights = ({ name }) => /\.(gguf|safetensors|bin|pt|pth)$/i.test(name);

/** @param {readonly File[]} files @param {string} [folder] the name of the folder that they are in */
export function fromFiles(files, folder) {
	const mmproj = files.length > 1 ? files.find(isEyes) : undefined;
	const rest = files.filter((file) => file !== mmproj);
	const [first] = rest;
	const inFolder = first?.webkitRelativePath?.split("/")[0];
	const weights = rest.find(isWeights) ?? first;
	return {
		label: folder || inFolder || weights?.name || "nothing",
		source: rest.length === 1 ? first : rest,
		options: mmproj ? { mmproj } : {},
	};
}

/** Files of what was dropped, and of the folder if it was one. */
export async function fromDrop(transfer) {
	const entries = [...transfer.items]
		.map((item) => item.webkitGetAsEntry?.())
		.filter(Boolean);
	const files = [...transfer.files];
	const folder = entries.find((entry) => entry.isDirectory);
	return folder
		? fromFiles(await filesIn(folder), folder.name)
		: fromFiles(files);
}

/** A model's files lie next to each other: folders within are passed over. */
async function filesIn(folder) {
	const reader = folder.createReader();
	const files = [];
	for (;;) {
		// Comes in batches; an empty one is the end.
		const entries = await new Promise((resolve, reject) =>
			reader.readEntries(resolve, reject),
		);
		if (entries.length === 0) return files;
		for (const entry of entries)
			if (entry.isFile)
				files.push(
					await new Promise((resolve, reject) => entry.file(resolve, reject)),
				);
	}
}

export function fromHub(name) {
	const hub = {
		token: $("hub-token").value.trim() || undefined,
		endpoint: $("hub-endpoint").value.trim() || undefined,
	};
	return { label: name, source: name, options: { hub }, onHub: true };
}

/** Calls `choose` with each choice that the visitor makes on the start page. */
export function watchSources(choose) {
	$("embedded").addEventListener("click", () => choose(EMBEDDED));
	for (const id of ["file", "folder"]) {
		$(`pick-${id}`).addEventListener("click", () => $(id).click());
		$(id).addEventListener("change", ({ target }) => {
			const files = [...target.files];
			// So that the same file can be chosen again.
			target.value = "";
			if (files.length > 0) choose(fromFiles(files));
		});
	}
	$("hub").addEventListener("submit", (event) => {
		event.preventDefault();
		const name = $("hub-name").value.trim();
		if (name) choose(fromHub(name));
		else $("hub-name").focus();
	});
}

/** Models that were used before, then others to try. */
export function showSuggestions(choose) {
	const used = remembered("models") ?? [];
	const names = [...new Set([...used, ...SUGGESTIONS])].slice(0, 4);
	$("suggestions").replaceChildren(
		...names.map((name) => {
			const kept = used.includes(name);
			return make(
				"li",
				{},
				make(
					"button",
					{
						type: "button",
						class: kept ? "kept" : undefined,
						title: kept ? `${name}, used before` : name,
						click() {
							$("hub-name").value = name;
							choose(fromHub(name));
						},
					},
					name.split("/").at(-1),
				),
			);
		}),
	);
}
