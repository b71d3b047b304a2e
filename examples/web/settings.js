// The settings dialog, and what it says to Model.load and model.generate.
import { $ } from "./dom.js";
import { remember, remembered } from "./memory.js";

const DEFAULTS = {
	system: "",
	own: true,
	temperature: "0.7",
	"top-p": "0.95",
	seed: "",
	"max-tokens": "",
	threads: "",
};
const ids = Object.keys(DEFAULTS);

const read = ({ type, checked, value }) =>
	type === "checkbox" ? checked : value;

function put(values) {
	for (const id of ids) {
		const field = $(id);
		if (field.type === "checkbox") field.checked = values[id];
		else field.value = values[id];
	}
	show();
}

function show() {
	for (const id of ["temperature", "top-p"]) {
		$(`${id}-value`).textContent = Number($(id).value).toFixed(2);
		$(id).disabled = $("own").checked;
	}
}

/** A whole number that was typed, or undefined where there is none. */
const whole = (id) =>
	$(id).value === "" ? undefined : Math.floor(Number($(id).value));

export function settings() {
	return { system: $("system").value.trim(), threads: whole("threads") };
}

/** Options of model.generate. Undefined is the model's own. */
export function samplingOptions() {
	const own = $("own").checked;
	return {
		temperature: own ? undefined : Number($("temperature").value),
		topP: own ? undefined : Number($("top-p").value),
		seed: whole("seed"),
		maxNewTokens: whole("max-tokens"),
	};
}

export function watchSettings() {
	put({ ...DEFAULTS, ...remembered("settings") });
	$("open-settings").addEventListener("click", () => $("settings").showModal());
	$("settings").addEventListener("input", () => {
		show();
		remember(
			"settings",
			Object.fromEntries(ids.map((id) => [id, read($(id))])),
		);
	});
	// A click beside the dialog is one on its backdrop.
	$("settings").addEventListener("click", ({ target }) => {
		if (target === $("settings")) $("settings").close();
	});
	$("reset").addEventListener("click", () => {
		put(DEFAULTS);
		remember("settings", DEFAULTS);
	});
}
