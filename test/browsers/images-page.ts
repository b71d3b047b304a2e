/** Runs in a page: decodes image files of its site in the page and in a worker, and says what came out. */
import { decodeImage } from "../../src/vision/decode.ts";

export interface DecodedFile {
	readonly file: string;
	readonly width: number;
	readonly height: number;
	/** u8[height, width, 3]; empty where it failed. */
	readonly data: readonly number[];
	/** What was thrown instead. */
	readonly error: string | null;
}

export interface ImageReport {
	/** By where it was decoded. */
	readonly decoded: Readonly<Record<"page" | "worker", readonly DecodedFile[]>>;
	/** Whether there is WebGL, without which what is under transparency is lost. */
	readonly webgl: boolean;
}

const decodeFile = async (file: string): Promise<DecodedFile> => {
	try {
		const response = await fetch(new URL(file, location.origin));
		const bytes = new Uint8Array(await response.arrayBuffer());
		const { width, height, data } = await decodeImage(bytes, file);
		return { file, width, height, data: [...data], error: null };
	} catch (error) {
		return { file, width: 0, height: 0, data: [], error: String(error) };
	}
};

const decodeAll = (files: readonly string[]) =>
	Promise.all(files.map(decodeFile));

if (typeof document === "undefined")
	addEventListener("message", async ({ data }) =>
		postMessage(await decodeAll(data)),
	);
else {
	const response = await fetch(new URL("files.json", location.origin));
	const files: string[] = await response.json();
	const worker = new Worker(import.meta.url, { type: "module" });
	const inWorker = new Promise<readonly DecodedFile[]>((resolve) => {
		worker.onmessage = ({ data }) => resolve(data);
	});
	worker.postMessage(files);
	const report: ImageReport = {
		decoded: { page: await decodeAll(files), worker: await inWorker },
		webgl: new OffscreenCanvas(1, 1).getContext("webgl") !== null,
	};
	await fetch("/report", { method: "POST", body: JSON.stringify(report) });
}
