// Messages as the visitor sees them.
import { icon, make } from "./dom.js";
import { explain } from "./failures.js";
import { duration, rate, tokens } from "./format.js";
import { showMarkdown } from "./markdown.js";

/** @param {readonly Blob[]} images */
export function userMessage(text, images) {
	const pictures = images.map((image, i) => {
		const src = URL.createObjectURL(image);
		const forget = () => URL.revokeObjectURL(src);
		return make("img", { src, alt: `Image ${i + 1}`, load: forget });
	});
	return make(
		"li",
		{ class: "message user" },
		make("span", { class: "visually-hidden" }, "You: "),
		...(pictures.length > 0
			? [make("div", { class: "pictures" }, ...pictures)]
			: []),
		...(text ? [make("div", { class: "text" }, text)] : []),
	);
}

/** An answer that is being written. What comes is drawn once per frame, however fast it comes. */
export function answerMessage() {
	const dots = make(
		"div",
		{ class: "waiting" },
		...Array.from({ length: 4 }, () => make("i")),
	);
	const label = make("span", {}, "Thinking");
	const thought = make("div", { class: "thought" });
	const thinking = make(
		"details",
		{ class: "thinking", hidden: true },
		make("summary", {}, icon("chevron"), label),
		thought,
	);
	const body = make("div", { class: "text" });
	const element = make(
		"li",
		{ class: "message answer busy", "aria-busy": "true" },
		make("span", { class: "visually-hidden" }, "Answer: "),
		thinking,
		body,
		dots,
	);

	let text = "";
	let reasoning = "";
	let thinkingSince = 0;
	let frame = 0;

	const draw = () => {
		frame = 0;
		dots.remove();
		if (reasoning.trim()) {
			thinking.hidden = false;
			thought.textContent = reasoning.trim();
		}
		showMarkdown(body, text);
	};
	const endThinking = () => {
		if (thinkingSince > 0)
			label.textContent = `Thought for ${duration(performance.now() - thinkingSince)}`;
		thinkingSince = 0;
	};

	return {
		element,
		get text() {
			return text;
		},
		add(part) {
			if (part.type === "reasoning") {
				thinkingSince ||= performance.now();
				reasoning += part.text;
			} else {
				endThinking();
				text += part.type === "text" ? part.text : part.raw;
			}
			frame ||= requestAnimationFrame(draw);
		},
		/** @param {readonly HTMLElement[]} below what goes under it @param {unknown} [error] why it ended */
		end(below, error) {
			cancelAnimationFrame(frame);
			draw();
			endThinking();
			element.classList.remove("busy");
			element.removeAttribute("aria-busy");
			if (below.length > 0)
				element.append(make("div", { class: "below" }, ...below));
			if (error)
				element.append(
					make(
						"div",
						{ class: "notice error", role: "alert" },
						...explain(error),
					),
				);
		},
	};
}

/** @param result of a generation @param firstMs until its first token was there */
export function stats({ tokenIds, timings, finishReason }, firstMs) {
	const count = tokenIds.length;
	const said = [];
	// The first token comes with the prompt: the others are what decoding took its time for.
	if (count > 1 && timings.decodeMs > 0)
		said.push(`${rate((1000 * (count - 1)) / timings.decodeMs)} tokens/s`);
	said.push(`first after ${duration(firstMs)}`, tokens(count));
	if (finishReason === "length") said.push("cut at the limit");
	if (finishReason === "abort") said.push("stopped");
	return make("span", { class: "stats" }, said.join(" · "));
}

export function toolButton(name, label, click) {
	return make(
		"button",
		{ class: "tool", type: "button", "aria-label": label, title: label, click },
		icon(name),
	);
}
