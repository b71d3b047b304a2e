/** The page's side of chromium.ts. */

/** What a page can be asked once its model is in memory. */
export interface PageSubject {
	/** What ran, for people. */
	readonly about: string;
	readonly loadMs: number;
	prefill(ids: readonly number[]): Promise<void>;
	decode(ids: readonly number[], count: number): Promise<void>;
}

export type Question =
	| { readonly ask: "load" }
	| { readonly ask: "prefill"; readonly ids: readonly number[] }
	| {
			readonly ask: "decode";
			readonly ids: readonly number[];
			readonly count: number;
	  };

/** A file of the page's server. */
export const fetchBlob = async (path: string): Promise<Blob> =>
	(await fetch(path)).blob();

/** Answers questions for ever, the first of which is to load. */
export async function servePage(
	load: (
		fetchModel: () => Promise<Blob>,
		threads: number,
	) => Promise<PageSubject>,
): Promise<void> {
	const threads = Number(new URLSearchParams(location.search).get("threads"));
	let subject: PageSubject | undefined;
	for (;;) {
		const question = (await (await fetch("/next")).json()) as Question;
		const answer = async () => {
			if (question.ask === "load") {
				subject = await load(() => fetchBlob("/model"), threads);
				const { about, loadMs } = subject;
				return { about, loadMs };
			}
			if (question.ask === "prefill") await subject!.prefill(question.ids);
			else await subject!.decode(question.ids, question.count);
			return {};
		};
		const body = await answer().then(
			(value) => ({ value }),
			(error) => ({ error: String(error?.stack ?? error) }),
		);
		await fetch("/answer", { method: "POST", body: JSON.stringify(body) });
	}
}
