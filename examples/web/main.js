// The page: which view is shown, and what can be done in all of them.
import { endChat, newChat, startChat, watchChat } from "./chat.js";
import { $ } from "./dom.js";
import { showError } from "./failures.js";
import { attachImages, isImage } from "./images.js";
import { cancelLoading, loadChoice } from "./loader.js";
import { remember, remembered, rememberModel } from "./memory.js";
import { watchSettings } from "./settings.js";
import { fromDrop, showSuggestions, watchSources } from "./sources.js";

const VIEWS = ["start", "loader", "chat"];

function show(view) {
	for (const id of VIEWS) $(id).hidden = id !== view;
	for (const id of ["change", "new-chat"]) $(id).hidden = view !== "chat";
	if (view === "start") showSuggestions(choose);
	$("main").scrollTop = 0;
}

async function choose(choice) {
	showError($("start-error"), undefined);
	show("loader");
	const model = await loadChoice(choice, endChat());
	if (!model) return;
	if (choice.onHub) rememberModel(choice.label);
	$("model-name").textContent = choice.label;
	document.title = `${choice.label}: nibble`;
	show("chat");
	startChat(model, choice.label, choice.embedded);
}

async function backToStart() {
	cancelLoading();
	show("start");
	await endChat();
	$("embedded").focus();
}

/** Where threads are missing, the visitor may want to know why. */
function tellMachine() {
	const cores = navigator.hardwareConcurrency ?? 1;
	$("machine").textContent = crossOriginIsolated
		? `This browser gives the model ${cores} ${cores === 1 ? "thread" : "threads"}.`
		: "This page is not cross-origin isolated, so the model has one thread and is slower than it could be.";
}

function watchTheme() {
	const dark = matchMedia("(prefers-color-scheme: dark)");
	const apply = () => {
		const theme = remembered("theme") ?? (dark.matches ? "dark" : "light");
		document.documentElement.style.colorScheme = theme;
		$("theme").setAttribute("aria-pressed", theme === "dark");
	};
	apply();
	dark.addEventListener("change", apply);
	$("theme").addEventListener("click", () => {
		const isDark = $("theme").getAttribute("aria-pressed") === "true";
		remember("theme", isDark ? "light" : "dark");
		apply();
	});
}

/** Images go to a model that sees; anything else is taken for a model. */
function watchDrops() {
	const takesImages = () => !$("chat").hidden && !$("attach").hidden;
	const hasFiles = ({ dataTransfer }) => dataTransfer.types.includes("Files");
	addEventListener("dragover", (event) => {
		if (!hasFiles(event)) return;
		event.preventDefault();
		$("veil").hidden = false;
		$("veil").firstElementChild.textContent = takesImages()
			? "Drop an image, or another model"
			: "Drop a model";
	});
	addEventListener("dragleave", ({ relatedTarget }) => {
		if (relatedTarget === null) $("veil").hidden = true;
	});
	addEventListener("drop", async (event) => {
		if (!hasFiles(event)) return;
		event.preventDefault();
		$("veil").hidden = true;
		const images = [...event.dataTransfer.files].filter(isImage);
		if (images.length > 0 && takesImages()) return attachImages(images);
		choose(await fromDrop(event.dataTransfer));
	});
}

watchTheme();
watchSettings();
watchSources(choose);
watchChat();
watchDrops();
tellMachine();
$("back").addEventListener("click", backToStart);
$("change").addEventListener("click", backToStart);
$("new-chat").addEventListener("click", newChat);
show("start");
