// Zero points that need no place in memory: codes of less than 4 or 8 bits are kept in 4 or 8, where q − z fits.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { int8, keptBits } from "./affine.ts";
import type { Plane } from "./scheme.ts";

/** What a plane of differences is made of. */
export interface CodesAndZeros {
	/** q, one per byte. */
	readonly codes: Plane;
	/** z, i8[hi − lo, groups] of rows [lo, hi) */
	readonly zeros: (lo: number, hi: number) => Promise<Int8Array>;
	readonly bits: number;
	/** Columns per zero point; the last group may have fewer. */
	readonly block: number;
	/** The tensor that errors name. */
	readonly tensor: StoredTensor;
}

/** q − z, one per byte. Its reads reject with CheckpointError where one does not fit, which takes codes of more bits than they claim. */
export function differences(of: CodesAndZeros): Plane {
	const { codes, zeros, bits, block, tensor } = of;
	const { rowBytes } = codes;
	const groups = Math.ceil(rowBytes / block);
	const half = 2 ** (keptBits(bits) - 1);
	return {
		...codes,
		async read(lo, hi, into = new Uint8Array((hi - lo) * rowBytes)) {
			await codes.read(lo, hi, into);
			const points = await zeros(lo, hi);
			const values = int8(into.subarray(0, (hi - lo) * rowBytes));
			for (let row = 0, i = 0; row < hi - lo; row++) {
				for (let group = 0; group < groups; group++) {
					const zero = points[row * groups + group]!;
					const end = row * rowBytes + Math.min((group + 1) * block, rowBytes);
					for (; i < end; i++) {
						const difference = values[i]! - zero;
						if (difference < -half || difference >= half) {
							throw new CheckpointError(
								`${tensor.file}: ${tensor.name} holds ${values[i]} with a zero point of ${zero}, expected int${bits}`,
							);
						}
						values[i] = difference;
					}
				}
			}
			return into.subarray(0, values.length);
		},
	};
}
