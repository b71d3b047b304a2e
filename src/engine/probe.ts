/** Which of the two builds of the kernels an engine can be trusted with. */
export async function chooseTarget(
	compile: (target: "simd" | "relaxed") => Promise<WebAssembly.Module>,
): Promise<"simd" | "relaxed"> {
	try {
		await compile("relaxed");
		return "relaxed";
	} catch {
		return "simd";
	}
}
