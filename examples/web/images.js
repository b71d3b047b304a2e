// Images that go with the next message: picked, dropped or pasted.
import { $, announce, icon, make } from "./dom.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];

export const isImage = ({ type }) => TYPES.includes(type);

/** @type {File[]} */
let images = [];
let changed = () => {};

export const attachedImages = () => images;

/** @param {() => void} listener called when images come or go */
export function watchImages(listener) {
	changed = listener;
	$("attach").addEventListener("click", () => $("image").click());
	$("image").addEventListener("change", ({ target }) => {
		attachImages([...target.files]);
		target.value = "";
	});
	$("prompt").addEventListener("paste", (event) => {
		const pasted = [...event.clipboardData.files].filter(isImage);
		if (pasted.length === 0 || $("attach").hidden) return;
		event.preventDefault();
		attachImages(pasted);
	});
}

export function attachImages(files) {
	images = [...images, ...files.filter(isImage)];
	show();
	announce(`${images.length} attached`);
	$("prompt").focus();
}

/** The images, which are no longer attached then. */
export function takeImages() {
	const taken = images;
	images = [];
	show();
	return taken;
}

function show() {
	for (const { src } of $("attached").querySelectorAll("img"))
		URL.revokeObjectURL(src);
	$("attached").replaceChildren(
		...images.map((image) =>
			make(
				"li",
				{},
				make("img", { src: URL.createObjectURL(image), alt: image.name }),
				make(
					"button",
					{
						type: "button",
						"aria-label": `Remove ${image.name}`,
						click() {
							images = images.filter((other) => other !== image);
							show();
							$("prompt").focus();
						},
					},
					icon("close"),
				),
			),
		),
	);
	$("attached").hidden = images.length === 0;
	changed();
}
