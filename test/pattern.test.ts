import { expect, test } from "vitest";
import { UnsupportedError } from "../src/errors.ts";
import { compilePattern } from "../src/quant/pattern.ts";

const names = [
	"lm_head",
	"model.embed_tokens",
	"model.layers.0.self_attn.q_proj",
	"model.layers.31.mlp.gate_proj",
	"model.layers.31.mlp.down_proj",
	"model.vision_tower.vision_model.encoder.layers.26.mlp.fc2",
	"q_proj",
	"",
];

test.each([
	".*lm_head",
	"lm_head",
	".*",
	"model",
	"model.layers.*",
	"model\\.layers\\.\\d+\\.mlp\\.(gate|up|down)_proj$",
	".*\\.(?:q|k|v|o)_proj$",
	"(?:model\\.)?layers",
	"^model\\.layers\\.[0-9]\\.",
	"model\\.layers\\.[^0-9]",
	"[a-z_]+$",
	"[\\d.]+",
	"[]a]",
	"[a-]",
	"model\\.layers\\.3?1",
	"(a|b|model|)\\.?vision",
	".+?mlp",
	"(m|mo|model)+\\.",
	"()*model",
	"(a*)*model",
	"a||m",
	"$",
	"\\w+\\W\\w+\\s",
])("%s matches what a regular expression engine says", (source) => {
	const own = compilePattern(source, "here");
	// the engine's [] is empty where Python's begins with a literal ]
	const engine = new RegExp(`^(?:${source.replace("[]", "[\\]")})`);
	for (const name of names) {
		expect(own(name), name).toBe(engine.test(name));
	}
});

test.each([
	"(?!x)a",
	"(?=a)",
	"(?P<n>a)",
	"a{2}",
	"a**",
	"*a",
	"(a",
	"a)",
	"[a",
	"\\",
	"\\b",
	"(a)\\1",
	"a".repeat(2000),
])("%s is not read", (source) => {
	expect(() => compilePattern(source, "here")).toThrow(UnsupportedError);
});

test("patterns that take a backtracking engine forever", () => {
	const text = "a".repeat(400);
	for (const source of [
		"(a+)+$b",
		"(a|a)*b",
		`${".*".repeat(60)}b`,
		`${"a?".repeat(200)}b`,
	]) {
		const start = performance.now();
		expect(compilePattern(source, "here")(text)).toBe(false);
		expect(performance.now() - start).toBeLessThan(500);
	}
});
