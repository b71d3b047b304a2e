// Looks at a model, says what it takes, and loads it.
import { $, announce, make } from "./dom.js";
import { showError } from "./failures.js";
import { bytes, parameters, tokens } from "./format.js";
import { drawProgress } from "./progress.js";
import { settings } from "./settings.js";

/** A conversation of this length is enough to begin with; a longer one takes more memory. */
const USUAL_TOKENS = 4096;

let controller = new AbortController();

/** Lets the visitor choose how long a conversation may become. */
const contexts = make("select", { "aria-label": "Longest conversation" });

/** The library is imported when it is needed: the page is there before it. */
const library = () => import("nibble-lm");

/** Ends whatever is going on here. */
export function cancelLoading() {
	controller.abort();
}

/**
 * Resolves with a loaded model, or with undefined when the visitor goes back. Errors are shown, and left to the visitor.
 * @param {Promise<void>} freed when the memory of the last model is there again
 */
export async function loadChoice({ label, source, options, embedded }, freed) {
	controller.abort();
	controller = new AbortController();
	const { signal } = controller;
	const left = new Promise((resolve) =>
		signal.addEventListener("abort", () => resolve(undefined)),
	);
	open(label);
	const load = async () => {
		await freed;
		const { Model } = await library();
		const look = { ...options, threads: settings().threads, signal };
		const { unsupported, ...about } = await Model.inspect(source, look);
		if (unsupported !== undefined)
			throw Object.assign(new Error(unsupported), { name: "UnsupportedError" });
		const most = about.memory.contextTokens;
		let contextTokens = Math.min(most, USUAL_TOKENS);
		const estimate = async () => {
			const asked = contextTokens;
			const found = await Model.estimate(source, { ...look, contextTokens });
			if (signal.aborted || asked !== contextTokens) return;
			$("loader-eyebrow").textContent = about.architecture;
			showFacts(factsOf(about, found));
			warn(label, found.totalBytes);
		};
		offerContexts(most, contextTokens, (chosen) => {
			contextTokens = chosen;
			estimate().catch(fail);
		});
		await estimate();
		signal.throwIfAborted();
		if (!embedded) await go();
		begin();
		return Model.load(source, {
			...look,
			contextTokens,
			onProgress: drawProgress(),
		});
	};
	const fail = (error) => {
		if (signal.aborted) return;
		$("loader-eyebrow").textContent = "Not loaded";
		$("progress").hidden = true;
		$("load").hidden = true;
		$("back").textContent = "Back";
		showError($("loader-error"), error);
	};
	const loaded = load().then(
		(model) => {
			// Too late: nobody waits for it any more.
			if (signal.aborted) model.dispose();
			return signal.aborted ? undefined : model;
		},
		(error) => {
			fail(error);
			return left;
		},
	);
	return Promise.race([loaded, left]);
}

function open(label) {
	$("loader-eyebrow").textContent = "Looking at";
	$("loader-title").textContent = label;
	$("facts").replaceChildren();
	for (const id of ["loader-warning", "load"]) $(id).hidden = true;
	contexts.disabled = false;
	$("back").textContent = "Back";
	$("progress").hidden = false;
	$("bar").removeAttribute("value");
	$("phase").textContent = "Reading what it says about itself";
	$("amount").textContent = "";
	showError($("loader-error"), undefined);
	$("loader-title").focus();
}

/** What to tell, by what it is called. @param about what Model.inspect found @param takes what Model.estimate found */
function factsOf(about, takes) {
	const [[scheme]] = Object.entries(about.schemes).sort(
		([, a], [, b]) => b.bytes - a.bytes,
	);
	return {
		Parameters: parameters(about.parameters),
		Weights: `${bytes(takes.downloadBytes)}, ${scheme}`,
		"Memory, at most": bytes(takes.totalBytes),
		"Longest conversation": contexts,
	};
}

function showFacts(facts) {
	const hadFocus = document.activeElement === contexts;
	$("facts").replaceChildren(
		...Object.entries(facts).map(([term, value]) =>
			make("div", {}, make("dt", {}, term), make("dd", {}, value)),
		),
	);
	if (hadFocus) contexts.focus();
}

/** Chromium says roughly how much memory there is, up to 8 GB; others say nothing. */
function warn(label, totalBytes) {
	const { deviceMemory = 8 } = navigator;
	const isScarce = deviceMemory < 8 && totalBytes > deviceMemory * 0.6e9;
	$("loader-warning").hidden = !isScarce;
	$("loader-warning").textContent =
		`This device says it has ${deviceMemory} GB of memory. ${label} may not fit.`;
}

function offerContexts(most, chosen, choose) {
	const steps = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072];
	const sizes = [...steps.filter((size) => size < most), most];
	contexts.replaceChildren(
		...sizes.map((size) =>
			make("option", { value: size, selected: size === chosen }, tokens(size)),
		),
	);
	contexts.onchange = () => choose(Number(contexts.value));
}

/** Resolves when the visitor wants it loaded. */
async function go() {
	$("progress").hidden = true;
	$("load").hidden = false;
	$("load").focus();
	announce("Ready to load.");
	await new Promise((resolve) => {
		$("load").onclick = resolve;
	});
}

function begin() {
	$("load").hidden = true;
	contexts.disabled = true;
	$("back").textContent = "Cancel";
	$("progress").hidden = false;
	announce("Loading.");
}
