/** The page's element with this id. */
export const $ = (id) => document.getElementById(id);

/**
 * A new element: attributes by name, and what is in it. Texts become text, so nothing a model writes is ever markup.
 * @param {Record<string, unknown>} attributes functions are listeners; false and undefined are left out
 */
export function make(name, attributes = {}, ...content) {
	const element = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (typeof value === "function") element.addEventListener(key, value);
		else if (value !== undefined && value !== false)
			element.setAttribute(key, value === true ? "" : value);
	}
	element.append(...content);
	return element;
}

/** One of the icons that index.html defines. */
export function icon(name) {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("class", "icon");
	svg.setAttribute("aria-hidden", "true");
	const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
	use.setAttribute("href", `#i-${name}`);
	svg.append(use);
	return svg;
}

/** Says something to those who do not see the page. */
export function announce(text) {
	$("announcer").textContent = text;
}
