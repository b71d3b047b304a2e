import {
	type Bits,
	halfField,
	nibbleAt,
	packedType,
	packing,
	range,
} from "./ggml.ts";
import { quantizedEmbed, quantizedGemm } from "./matrix.ts";
import { qk8 } from "./quantize-k.ts";

const iq4xsw = packedType(
	"IQ4_XS",
	[1e-4],
	[
		halfField(0, 0),
		...range(6).map((i) => ({
			stored: [[2 + i, 0, 8]] as Bits,
			packed: (r: number): Bits => [[32 + 16 * i + r, 0, 8]],
		})),
		...range(256).map((c) => {
			const [g, i] = [c >> 5, c & 31];
			return {
				stored: [[8 + 16 * g + (i & 15), i < 16 ? 0 : 4, 4]] as Bits,
				packed: (r: number): Bits => [[...nibbleAt(128 + 256 * g, r, i), 4]],
			};
		}),
	],
);

export const gemm_qk8_iq4xsw = quantizedGemm(qk8, iq4xsw, [
	[256, 0],
	[768, 0],
]);
export const embed_iq4xsw = quantizedEmbed(iq4xsw, 512);
export const pack_iq4xsw_iq4_xs = packing(iq4xsw, [
	[37, 256],
	[32, 512],
]);
