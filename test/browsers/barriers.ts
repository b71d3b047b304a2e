/** Runs in a page: what may keep somebody from using it. WCAG 2.2, levels A and AA, as far as a script can tell. */

/** Runs in both colour schemes, and puts back the one that was there. */
export function findBarriers(): string[] {
	const found = new Set<string>();
	const root = document.documentElement;
	const before = root.style.colorScheme;
	for (const scheme of ["light", "dark"]) {
		root.style.colorScheme = scheme;
		for (const barrier of [...unnamed(), ...faint(scheme)]) found.add(barrier);
	}
	root.style.colorScheme = before;
	if (!root.lang) found.add("the page has no language");
	if (!document.title) found.add("the page has no title");
	const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
	for (const id of ids)
		if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.add(`two have id ${id}`);
	return [...found];
}

/** A modal dialog makes everything else unreachable. */
const scope = (): ParentNode =>
	document.querySelector("dialog[open]") ?? document;

const isVisible = (element: Element) =>
	element.checkVisibility?.({ visibilityProperty: true }) ?? true;

const describe = (element: Element) =>
	element.id
		? `${element.localName}#${element.id}`
		: `${element.localName}.${element.className}`;

/** Controls and images without a name (1.1.1, 4.1.2), and controls too small for a finger (2.5.8). */
function* unnamed(): Generator<string> {
	const controls = "button, input, select, textarea, summary, a[href]";
	for (const element of scope().querySelectorAll<HTMLElement>(controls)) {
		if (!isVisible(element)) continue;
		if (!nameOf(element)) yield `${describe(element)} has no name`;
		const { width, height } = element.getBoundingClientRect();
		// Sliders are as high as the browser draws them; links lie in texts.
		const isSmall = Math.min(width, height) < 24;
		const isOwn = !element.matches("[type=range], [type=checkbox], a, summary");
		if (isSmall && isOwn)
			yield `${describe(element)} is ${width.toFixed()} × ${height.toFixed()}`;
	}
	for (const image of scope().querySelectorAll("img:not([alt])"))
		yield `${describe(image)} has no alternative text`;
}

function nameOf(element: HTMLElement): string {
	const { labels } = element as HTMLInputElement;
	const labelled = element.getAttribute("aria-labelledby");
	return (
		element.getAttribute("aria-label") ??
		(labelled && document.getElementById(labelled)?.textContent) ??
		(labels?.length ? labels[0]!.textContent : element.textContent) ??
		""
	).trim();
}

/** Texts with too little contrast (1.4.3). */
function* faint(scheme: string): Generator<string> {
	const texts = document.createTreeWalker(scope(), NodeFilter.SHOW_TEXT);
	for (let node = texts.nextNode(); node; node = texts.nextNode()) {
		const element = node.parentElement!;
		const isText = node.textContent?.trim() && isVisible(element);
		if (
			!isText ||
			element.closest(":disabled, .visually-hidden, label:has(+ :disabled)")
		)
			continue;
		const style = getComputedStyle(element);
		const back = backgroundOf(element);
		const contrast = contrastOf(channels(style.color)!, back);
		const isLarge = Number.parseFloat(style.fontSize) >= 24;
		if (contrast < (isLarge ? 3 : 4.5))
			yield `${describe(element)} has a contrast of ${contrast.toFixed(2)} in the ${scheme} scheme`;
	}
}

function backgroundOf(element: Element | null): readonly number[] {
	for (let at = element; at; at = at.parentElement) {
		const color = channels(getComputedStyle(at).backgroundColor);
		if (color) return color;
	}
	return [255, 255, 255];
}

/** Red, green and blue; undefined for what is transparent. */
function channels(color: string): readonly number[] | undefined {
	const [red, green, blue, alpha = 1] = (color.match(/[\d.]+/g) ?? []).map(
		Number,
	);
	return alpha === 0 || blue === undefined ? undefined : [red!, green!, blue];
}

/** (L1 + 0.05) / (L2 + 0.05) of relative luminances, the lighter first. */
function contrastOf(a: readonly number[], b: readonly number[]): number {
	const [darker, lighter] = [luminance(a), luminance(b)].sort((x, y) => x - y);
	return (lighter! + 0.05) / (darker! + 0.05);
}

function luminance(rgb: readonly number[]): number {
	const [red, green, blue] = rgb.map((channel) => {
		const value = channel / 255;
		return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
	});
	return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}
