// GPTQ with activation ordering: a matrix whose columns keep their places, while an index says each column's group.
import { CheckpointError } from "../errors.ts";
import type { StoredTensor } from "../formats/checkpoint.ts";
import { expectTensor } from "./planes.ts";

export interface GroupIndex {
	/** Group of each column. */
	readonly groupOf: Int32Array;
	/** Columns sorted by group, in their own order within one: gathering by it makes groups consecutive. */
	readonly columns: Int32Array;
}

/** Reads weight_g_idx, I32 [cols]; undefined where it says nothing new: a −1 in it, or runs of equal length. */
export async function groupIndex(
	tensor: StoredTensor,
	cols: number,
	groups: number,
): Promise<GroupIndex | undefined> {
	expectTensor(tensor, ["I32"], [cols]);
	const bytes = await tensor.read();
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const groupOf = Int32Array.from({ length: cols }, (_, i) =>
		view.getInt32(4 * i, true),
	);
	if (groupOf.includes(-1)) return undefined;
	const size = cols / groups;
	const counts = new Int32Array(groups);
	for (const [col, group] of groupOf.entries()) {
		if (group < 0 || group >= groups) {
			throw new CheckpointError(
				`${tensor.file}: ${tensor.name} puts column ${col} into group ${group} of ${groups}`,
			);
		}
		counts[group]! += 1;
	}
	const odd = counts.findIndex((count) => count !== size);
	if (odd >= 0) {
		throw new CheckpointError(
			`${tensor.file}: ${tensor.name} puts ${counts[odd]} columns into group ${odd}, expected ${size}`,
		);
	}
	if (groupOf.every((group, col) => group === Math.floor(col / size))) {
		return undefined;
	}
	const columns = Int32Array.from(groupOf.keys()).sort(
		(a, b) => groupOf[a]! - groupOf[b]! || a - b,
	);
	return { groupOf, columns };
}
