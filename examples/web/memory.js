// What the page remembers from visit to visit. Where a browser forbids that, it forgets.

const PREFIX = "nibble:";

export function remembered(key) {
	try {
		return JSON.parse(localStorage.getItem(PREFIX + key)) ?? undefined;
	} catch {
		return undefined;
	}
}

export function remember(key, value) {
	try {
		localStorage.setItem(PREFIX + key, JSON.stringify(value));
	} catch {
		// Forbidden or full.
	}
}

/** Names of models, the latest first. */
export function rememberModel(name) {
	const names = remembered("models") ?? [];
	remember("models", [name, ...names.filter((n) => n !== name)].slice(0, 3));
}
