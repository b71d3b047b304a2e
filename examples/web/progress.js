// From the library's events to one bar: first what is downloaded, then what is read into memory.
import { $ } from "./dom.js";
import { bytes, duration } from "./format.js";

const WINDOW_MS = 2000;
const SHOW_MS = 100;

/** How fast a count grows, over the last two seconds. */
function meter() {
	const samples = [];
	return (count, now) => {
		samples.push([now, count]);
		while (now - samples[0][0] > WINDOW_MS && samples.length > 2)
			samples.shift();
		const [start, first] = samples[0];
		return now - start > 200 ? ((count - first) * 1000) / (now - start) : 0;
	};
}

/** A listener for Model.load's onProgress that draws the bar. */
export function drawProgress() {
	const fetched = new Map();
	const meters = { Downloading: meter(), "Reading into memory": meter() };
	let drawn = 0;
	show("Preparing", "", undefined);

	return ({ status, file, loaded, total }) => {
		if (status === "ready") return show("Ready", "", 100);
		if (status === "download" || fetched.has(file))
			fetched.set(file, { loaded, total });
		const now = performance.now();
		if (now - drawn < SHOW_MS && status === "progress") return;
		drawn = now;

		const files = [...fetched.values()];
		const sum = (key) => files.reduce((total, item) => total + item[key], 0);
		const fetching = sum("loaded") < sum("total");
		// Files that were here already have nothing to tell.
		if (!fetching && (status === "initiate" || fetched.has(file))) return;
		const phase = fetching ? "Downloading" : "Reading into memory";
		const [done, all] = fetching
			? [sum("loaded"), sum("total")]
			: [loaded, total];
		const speed = meters[phase](done, now);
		const amounts = [`${bytes(done)} of ${bytes(all)}`];
		if (speed > 0) {
			amounts.push(`${bytes(speed)}/s`);
			if (fetching)
				amounts.push(`${duration(((all - done) * 1000) / speed)} left`);
		}
		show(phase, amounts.join(" · "), all > 0 ? (100 * done) / all : undefined);
	};
}

function show(phase, amount, percent) {
	$("phase").textContent = phase;
	$("amount").textContent = amount;
	if (percent === undefined) $("bar").removeAttribute("value");
	else $("bar").value = percent;
}
