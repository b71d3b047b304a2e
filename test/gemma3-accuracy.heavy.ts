import { testWith } from "./shared.ts";

for (const set of ["vqa", "chartqa_like", "text"])
	testWith(
		"models/eval/nano-gemma3",
		`answers ${set} as well as the reference`,
		async () => {
			const { compareAccuracy } = await import("./gemma3-accuracy.ts");
			await compareAccuracy(set, 1, 1);
		},
	);
