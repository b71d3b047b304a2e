/** Runs in the page of examples/web, as a visitor would use it, and says what went wrong. Reloads the page once. */
import { findBarriers } from "./barriers.ts";

export interface DemoSetting {
	/** Address of a Hub, and a model on it. */
	readonly hub: string;
	readonly repo: string;
	/** Whether the page is expected to share memory between threads. */
	readonly isolated: boolean;
}

export interface DemoReport {
	/** By step: null where it was as expected, else what went wrong. */
	readonly steps: Readonly<Record<string, string | null>>;
	/** What the page says of its engine. */
	readonly engine: string;
	/** What it says below its first answer. */
	readonly stats: string;
}

/** Asked of the Hub when the page comes back, so that its log has a mark there. */
export const AFTER_RELOAD = "/after-reload";
const STATE = "demo test";
const PATIENCE_MS = 40_000;

type Field = HTMLInputElement & HTMLTextAreaElement;
const $ = (id: string) => document.getElementById(id) as Field;
const shown = (id: string) => !$(id).hidden;
const press = (id: string) => $(id).click();

function expect(condition: unknown, message: string): asserts condition {
	if (!condition) throw new Error(message);
}

function expectNoBarriers(): void {
	const barriers = findBarriers();
	expect(barriers.length === 0, barriers.join("\n"));
}

async function until(what: string, condition: () => unknown): Promise<void> {
	const end = performance.now() + PATIENCE_MS;
	while (!condition()) {
		const error = ["start-error", "loader-error"].find(shown);
		const said = error && $(error).textContent;
		expect(performance.now() < end, `not yet: ${what}; ${said ?? ""}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

function fill(id: string, value: string): void {
	$(id).value = value;
	$(id).dispatchEvent(new Event("input", { bubbles: true }));
}

const lastAnswer = () =>
	[...document.querySelectorAll(".message.answer")].at(-1) as HTMLElement;
const answered = () => lastAnswer()?.querySelector(".below");
const statsOf = () => lastAnswer().querySelector(".stats")?.textContent ?? "";

function ask(text: string): void {
	fill("prompt", text);
	$("prompt").dispatchEvent(
		new KeyboardEvent("keydown", {
			key: "Enter",
			bubbles: true,
			cancelable: true,
		}),
	);
}

async function askAndWait(text: string): Promise<void> {
	ask(text);
	await until(`an answer to ${text}`, answered);
}

function chooseFile(name: string, bytes: Uint8Array<ArrayBuffer>): void {
	const transfer = new DataTransfer();
	transfer.items.add(new File([bytes], name));
	$("file").files = transfer.files;
	$("file").dispatchEvent(new Event("change", { bubbles: true }));
}

const steps: Readonly<
	Record<string, (setting: DemoSetting) => Promise<unknown>>
> = {
	async "starts without barriers"() {
		expectNoBarriers();
	},
	async "loads the embedded model"({ isolated }) {
		press("embedded");
		await until("the conversation", () => shown("chat"));
		const engine = $("engine").textContent ?? "";
		expect(/^\d+ threads? · (relaxed )?SIMD kernels$/.test(engine), engine);
		expect(isolated || engine.startsWith("1 thread "), engine);
		expect(document.activeElement === $("prompt"), "no focus");
		// Now and then the model does not think, or tells a story of one sentence.
		fill("seed", "1");
	},
	async "streams an answer"() {
		const lengths = new Set<number>();
		const observer = new MutationObserver(() => {
			const text = lastAnswer()?.querySelector(".text")?.textContent ?? "";
			lengths.add(text.length);
		});
		observer.observe($("messages"), { subtree: true, childList: true });
		press("think");
		await askAndWait("Tell me a story about a brave fox.");
		observer.disconnect();
		expect(lengths.size > 3, `${lengths.size} states were seen`);
		expect(
			/tokens\/s · first after .* · \d+ tokens/.test(statsOf()),
			statsOf(),
		);
		const said = $("announcer").textContent ?? "";
		expect(said.length > 50, `announced: ${said}`);
	},
	async "shows what it thinks, collapsed"() {
		press("think");
		await askAndWait("What is 17 + 25?");
		const thinking = lastAnswer().querySelector("details");
		expect(
			thinking && !thinking.hidden && !thinking.open,
			lastAnswer().textContent,
		);
		expect(/^Thought for /.test(thinking.innerText.trim()), "no time");
		expect(lastAnswer().textContent?.includes("17 + 25 = 42"), "no sum");
		expectNoBarriers();
	},
	async "stops, and answers again"() {
		press("think");
		ask("Tell me a long story.");
		await until(
			"the first words",
			() => lastAnswer().querySelector(".text")?.textContent,
		);
		$("prompt").dispatchEvent(
			new KeyboardEvent("keydown", { key: "Escape", bubbles: true }),
		);
		await until("the end", answered);
		expect(statsOf().endsWith("stopped"), lastAnswer().textContent);
		const count = document.querySelectorAll(".message").length;
		lastAnswer().querySelector<HTMLElement>(".retry")!.click();
		await until("another answer", answered);
		expect(!statsOf().includes("stopped"), statsOf());
		const now = document.querySelectorAll(".message").length;
		expect(now === count, `${now} messages, there were ${count}`);
	},
	async "obeys its settings"() {
		press("open-settings");
		expectNoBarriers();
		fill("max-tokens", "3");
		press("own");
		fill("seed", "7");
		press("new-chat");
		await askAndWait("Tell me a story.");
		expect(statsOf().endsWith("3 tokens · cut at the limit"), statsOf());
		const first = lastAnswer().querySelector(".text")?.textContent;
		press("new-chat");
		await askAndWait("Tell me a story.");
		const second = lastAnswer().querySelector(".text")?.textContent;
		expect(first === second, `${first} is not ${second}`);
		press("reset");
		($("settings") as unknown as HTMLDialogElement).close();
	},
	async "says what is wrong with a file"() {
		press("change");
		chooseFile("holiday.gguf", new Uint8Array(100));
		await until("an error", () => shown("loader-error"));
		const text = $("loader-error").textContent ?? "";
		expect(/no model.*holiday\.gguf: neither/s.test(text), text);
		expectNoBarriers();
		press("back");
		expect(shown("start"), "not back");
	},
	async "says what is wrong with a name"({ hub }) {
		fill("hub-endpoint", hub);
		fill("hub-name", "nobody/nothing");
		$("hub").dispatchEvent(new Event("submit", { cancelable: true }));
		await until("an error", () => shown("loader-error"));
		const text = $("loader-error").textContent ?? "";
		expect(text.includes("nobody/nothing"), text);
		press("back");
	},
	async "loads a model of the Hub"({ hub, repo }) {
		fill("hub-endpoint", hub);
		fill("hub-name", repo);
		$("hub").dispatchEvent(new Event("submit", { cancelable: true }));
		await until("an estimate", () => shown("load"));
		const facts = $("facts").innerText;
		expect(/2\.6 million/.test(facts) && /5\.2 MB, BF16/.test(facts), facts);
		press("load");
		await until("the conversation", () => shown("chat"));
		expect($("model-name").textContent === repo, "it has another name");
		await askAndWait("Who are you?");
		expect(statsOf() !== "", lastAnswer().innerText);
	},
	async "fits onto a phone"() {
		const frame = document.createElement("iframe");
		frame.style.cssText = "position:fixed;width:320px;height:600px";
		frame.src = "index.html";
		document.body.append(frame);
		await until("the frame", () =>
			frame.contentDocument?.querySelector("#suggestions li"),
		);
		const { scrollWidth } = frame.contentDocument!.getElementById("main")!;
		frame.remove();
		expect(scrollWidth <= 320, `${scrollWidth} px wide`);
	},
};

const afterReload: typeof steps = {
	async "has the model of the Hub at hand"({ hub, repo }) {
		await fetch(hub + AFTER_RELOAD, { mode: "no-cors" }).catch(() => {});
		fill("hub-endpoint", hub);
		const kept = document.querySelector<HTMLElement>("#suggestions .kept");
		expect(kept, "nothing is suggested");
		kept.click();
		await until("an estimate", () => shown("load"));
		press("load");
		await until("the conversation", () => shown("chat"));
		expect($("model-name").textContent === repo, "it has another name");
		await askAndWait("Who are you?");
		expect(statsOf() !== "", lastAnswer().innerText);
	},
};

export const stepNames: readonly string[] = [
	...Object.keys(steps),
	...Object.keys(afterReload),
];

/** Runs the steps in order, on both sides of a reload. */
export async function visit(
	setting: DemoSetting,
	report: (report: DemoReport) => Promise<unknown>,
): Promise<void> {
	// The service worker is about to reload the page, which ends this.
	if (setting.isolated)
		await until("the page is isolated", () => crossOriginIsolated);
	const saved = sessionStorage.getItem(STATE);
	const done = saved
		? (JSON.parse(saved) as DemoReport)
		: { steps: {}, engine: "", stats: "" };
	const results: Record<string, string | null> = { ...done.steps };
	let { engine, stats } = done;
	await until("the page", () => document.querySelector("#suggestions li"));
	let failed: string | undefined;
	for (const [name, run] of Object.entries(saved ? afterReload : steps)) {
		results[name] = failed
			? `not reached, after: ${failed}`
			: await run(setting).then(
					() => null,
					(error) => `${error}\n${error?.stack}`,
				);
		// What comes later would wait in vain.
		if (results[name]) failed ??= name;
		engine ||= $("engine").textContent ?? "";
		if (name === "streams an answer") stats = lastAnswer() ? statsOf() : "";
	}
	const now = { steps: results, engine, stats };
	if (saved || failed) return void (await report(now));
	sessionStorage.setItem(STATE, JSON.stringify(now));
	location.reload();
}
