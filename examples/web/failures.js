// Errors in words: what kind of trouble it is, and what the library says of it.
import { make } from "./dom.js";

const TITLES = {
	SourceError: "It could not be fetched or read.",
	CheckpointError: "This is no model, or it is damaged.",
	UnsupportedError: "This kind of model does not run here yet.",
	EngineError: "The engine gave up.",
	ContextError: "The conversation is longer than the model can read.",
	ImageError: "The image could not be read.",
	OptionError: "One of the settings does not work with this model.",
	RangeError: "There is not enough memory for it.",
};

/** What to show in a notice. */
export function explain(error) {
	const title = TITLES[error?.name] ?? "That did not work.";
	return [make("strong", {}, title), String(error?.message ?? error)];
}

/** Shows an error in an element with role="alert", or empties it. */
export function showError(element, error) {
	element.replaceChildren(...(error ? explain(error) : []));
	element.hidden = !error;
}
