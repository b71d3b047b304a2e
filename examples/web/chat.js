// A conversation with a loaded model.
import { $, announce, make } from "./dom.js";
import { attachedImages, takeImages, watchImages } from "./images.js";
import { answerMessage, stats, toolButton, userMessage } from "./message.js";
import { samplingOptions, settings } from "./settings.js";

const NANO_STARTERS = ["Tell me a story.", "What is 17 + 25?", "Who are you?"];
const STARTERS = [
	"Explain what a neural network is, to a ten-year-old.",
	"Write a haiku about autumn rain.",
	"Give me three ideas for dinner with potatoes.",
];
const BEGINNINGS = ["Once upon a time", "The most important thing about"];

/** Of architectures whose chat templates can be told whether to think. */
const CAN_THINK = ["SmolLM3ForCausalLM"];

let model;
/** Messages so far, as model.generate takes them. */
let history = [];
/** Stops the answer that is being written; undefined where none is. */
let stop;

/** @param label what the model is called here */
export function startChat(loaded, label, isNano) {
	model = loaded;
	const { chats, sees, threads, threadLimit, kernels, architecture } =
		model.info;
	$("think").hidden = !chats || !CAN_THINK.includes(architecture);
	$("attach").hidden = !sees;
	const build = kernels === "relaxed" ? "relaxed SIMD" : "SIMD";
	$("engine").textContent =
		`${threads} ${threads === 1 ? "thread" : "threads"} · ${build} kernels`;
	$("engine").title = threadLimit ?? "";
	$("prompt").placeholder = chats ? "Write a message" : "Begin a text";
	$("empty-title").textContent = chats
		? "What shall it be?"
		: "How does it begin?";
	$("empty-text").textContent = chats
		? `${label} is in memory and listens. Nothing you write leaves this page.`
		: `${label} was not made for conversations: it continues what you write.`;
	const starters = chats ? (isNano ? NANO_STARTERS : STARTERS) : BEGINNINGS;
	$("starters").replaceChildren(
		...starters.map((text) =>
			make(
				"li",
				{},
				make("button", { type: "button", click: () => send(text) }, text),
			),
		),
	);
	newChat();
}

/** Gives the model's memory and threads back. */
export async function endChat() {
	stop?.();
	await model?.dispose();
	model = undefined;
}

export function newChat() {
	stop?.();
	history = [];
	$("messages").replaceChildren();
	$("empty").hidden = false;
	takeImages();
	$("prompt").focus();
}

export function watchChat() {
	const prompt = $("prompt");
	watchImages(showSend);
	prompt.addEventListener("input", showSend);
	prompt.addEventListener("keydown", (event) => {
		// Enter also ends the choice of a character, where many keys make one.
		if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
		event.preventDefault();
		$("composer").requestSubmit();
	});
	$("composer").addEventListener("submit", (event) => {
		event.preventDefault();
		const text = prompt.value.trim();
		if (stop || (!text && attachedImages().length === 0)) return;
		prompt.value = "";
		send(text);
	});
	$("stop").addEventListener("click", () => stop?.());
	$("chat").addEventListener("keydown", ({ key }) => {
		if (key === "Escape") stop?.();
	});
	$("think").addEventListener("click", ({ currentTarget }) => {
		const on = currentTarget.getAttribute("aria-pressed") !== "true";
		currentTarget.setAttribute("aria-pressed", on);
	});
}

function showSend() {
	const prompt = $("prompt");
	$("send").disabled =
		prompt.value.trim() === "" && attachedImages().length === 0;
	// For browsers without field-sizing.
	if (!CSS.supports("field-sizing", "content")) {
		prompt.style.height = "auto";
		prompt.style.height = `${prompt.scrollHeight}px`;
	}
}

function send(text) {
	if (stop) return;
	const images = takeImages();
	$("empty").hidden = true;
	$("messages").append(userMessage(text, images));
	const content =
		images.length > 0
			? [
					...images.map((image) => ({ type: "image", image })),
					{ type: "text", text },
				]
			: text;
	history.push({ role: "user", content });
	showSend();
	answer();
}

/** Has the last message answered. */
async function answer() {
	const shown = answerMessage();
	$("messages").append(shown.element);
	const scroll = follow($("scroll"));
	const controller = new AbortController();
	const here = history;
	stop = () => controller.abort();
	showRunning(true);
	announce("Answering.");
	try {
		const { result, firstMs } = await write(shown, controller.signal, scroll);
		shown.end([copyButton(shown), retryButton(shown), stats(result, firstMs)]);
		here.push({ role: "assistant", content: result.text });
		announce(result.text);
	} catch (error) {
		const stopped = controller.signal.aborted;
		shown.end([retryButton(shown)], stopped ? undefined : error);
		// So that what was asked is not asked twice.
		here.push({ role: "assistant", content: shown.text });
	} finally {
		stop = undefined;
		showRunning(false);
		scroll();
	}
}

/** Shows an answer while it is written. */
async function write(shown, signal, scroll) {
	const start = performance.now();
	let firstMs = 0;
	const { chats } = model.info;
	const { system } = settings();
	const prompt = chats
		? [...(system ? [{ role: "system", content: system }] : []), ...history]
		: history.at(-1).content;
	const generation = model.generate(prompt, {
		...samplingOptions(),
		thinking: $("think").hidden
			? undefined
			: $("think").getAttribute("aria-pressed") === "true",
		signal: untilFirst(signal, () => firstMs > 0),
	});
	for await (const part of generation) {
		firstMs ||= performance.now() - start;
		shown.add(part);
		scroll();
		// To leave, unlike to abort, gives what there was so far with its timings.
		if (signal.aborted) break;
	}
	return { result: await generation, firstMs };
}

/** A signal that only fires as long as nothing has come: a long prompt need not be read to its end. */
function untilFirst(signal, hasCome) {
	const controller = new AbortController();
	signal.addEventListener("abort", () => {
		if (!hasCome()) controller.abort(signal.reason);
	});
	return controller.signal;
}

function showRunning(running) {
	const hadFocus = [$("send"), $("stop")].includes(document.activeElement);
	$("stop").hidden = !running;
	$("send").hidden = running;
	if (hadFocus) (running ? $("stop") : $("prompt")).focus();
	for (const button of document.querySelectorAll(".retry"))
		button.hidden = running;
}

function copyButton(shown) {
	const button = toolButton("copy", "Copy", async () => {
		const done = await navigator.clipboard.writeText(shown.text.trim()).then(
			() => "Copied",
			() => "The browser did not let it be copied",
		);
		button.title = done;
		announce(done);
	});
	return button;
}

function retryButton(shown) {
	const button = toolButton("retry", "Answer again", () => {
		if (stop) return;
		// Everything from this answer on is forgotten.
		const answers = [...$("messages").children];
		const from = answers.indexOf(shown.element);
		for (const element of answers.slice(from)) element.remove();
		history = history.slice(0, from);
		answer();
	});
	button.classList.add("retry");
	return button;
}

/** Keeps the end in sight, unless the visitor has scrolled away from it. */
function follow(element) {
	let end = -1;
	return () => {
		const away = end >= 0 && element.scrollTop < end - 40;
		if (!away) element.scrollTop = element.scrollHeight;
		end = element.scrollHeight - element.clientHeight;
	};
}
