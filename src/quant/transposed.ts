import { UnsupportedError } from "../errors.ts";
import type { StoredMatrix } from "./scheme.ts";

/** The transpose of a matrix of plain numbers. All of it is read for any of its rows. Throws UnsupportedError for what has scales. */
export function transposed(matrix: StoredMatrix): StoredMatrix {
	const { rows, cols, planes, block, name } = matrix;
	const [plane] = planes;
	const elementBytes = plane ? plane.rowBytes / cols : 0;
	if (planes.length !== 1 || block !== 0 || !Number.isInteger(elementBytes))
		throw new UnsupportedError(
			`${name}: is stored as ${matrix.scheme}, expected plain numbers, which can be transposed`,
		);
	return {
		...matrix,
		shape: [cols, rows],
		rows: cols,
		cols: rows,
		planes: [
			{
				...plane!,
				rowBytes: rows * elementBytes,
				async read(lo, hi, into) {
					const whole = await plane!.read(0, rows);
					const length = (hi - lo) * rows * elementBytes;
					const turned = into?.subarray(0, length) ?? new Uint8Array(length);
					for (let row = lo, to = 0; row < hi; row++)
						for (let column = 0; column < rows; column++) {
							const from = (column * cols + row) * elementBytes;
							for (let i = 0; i < elementBytes; i++)
								turned[to++] = whole[from + i]!;
						}
					return turned;
				},
			},
		],
		async decode(lo, hi) {
			const whole = await matrix.decode(0, rows);
			return Float32Array.from(
				{ length: (hi - lo) * rows },
				(_, i) => whole[(i % rows) * cols + lo + Math.floor(i / rows)]!,
			);
		},
	};
}
