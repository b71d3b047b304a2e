// Numbers in words, as people read them.

const number = (value, digits = 0) =>
	value.toLocaleString("en", {
		minimumFractionDigits: digits,
		maximumFractionDigits: digits,
	});

/** Three digits at most before the unit: "5.2 MB", "1.3 GB". */
export function bytes(count) {
	if (count < 1e6) return `${number(count / 1e3)} kB`;
	if (count < 1e9) return `${number(count / 1e6, count < 1e7 ? 1 : 0)} MB`;
	return `${number(count / 1e9, count < 1e10 ? 2 : 1)} GB`;
}

/** "2.6 million", "3.1 billion". */
export function parameters(count) {
	if (count < 1e9) return `${number(count / 1e6, count < 1e7 ? 1 : 0)} million`;
	return `${number(count / 1e9, 1)} billion`;
}

export const tokens = (count) =>
	`${number(count)} ${count === 1 ? "token" : "tokens"}`;

export function duration(milliseconds) {
	if (milliseconds < 1000) return `${number(milliseconds)} ms`;
	const seconds = milliseconds / 1000;
	if (seconds < 90) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
	return `${number(seconds / 60)} min`;
}

export const rate = (perSecond) => number(perSecond, perSecond < 10 ? 1 : 0);
