import { expect } from "vitest";
import { webpModule } from "../src/runtime/webp.ts";
import { decodeImage } from "../src/vision/decode.ts";
import { MAX_PIXELS } from "../src/vision/image.ts";
import { fixture } from "./fixture.ts";
import { mutate } from "./mutate.ts";
import type { Sample } from "./survive.ts";

const FILES = [
	...["rgba.png", "p4.png", "interlaced.png", "la.png"],
	...["420.jpg", "progressive.jpg", "profile.jpg", "turned-6.jpg"],
	...["lossy.webp", "lossless.webp", "lossy-alpha.webp", "profile.webp"],
];

/** Images of each kind, damaged anywhere. What can be decoded has the pixels that it says. */
export const images: readonly Sample[] = FILES.map((file) => {
	const bytes = fixture(`vision/${file}`).slice();
	return {
		name: file,
		// Each decodes in a new instance of its WebAssembly.
		share: file.endsWith(".webp") ? 0.15 : 1,
		read: [0, 0.99],
		damage(random) {
			const mutant = mutate(bytes, bytes.length, random);
			return async () => {
				const { width, height, data } = await decodeImage(
					mutant,
					file,
					webpModule,
				);
				expect(width * height).toBeLessThanOrEqual(MAX_PIXELS);
				expect(data.length).toBe(3 * width * height);
			};
		},
	};
});
