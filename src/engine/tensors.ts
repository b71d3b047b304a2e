import { type Buffer, type Dim, O, type Tensor } from "./operands.ts";
import type { Units } from "./program.ts";

/** A new activation in bank `bank`. */
export function tensor(shape: readonly Dim[], bank: number): Tensor {
	const register = shape[0] === O ? "outputs" : "rows";
	return { shape, buffer: { bank, register, rowBytes: 4 * elements(shape) } };
}

/** Elements per row: the product of all dimensions but the first. */
export const elements = (shape: readonly Dim[]): number =>
	shape.slice(1).reduce<number>((n, dim) => n * (dim as number), 1);

/** `times` units for each row of a buffer. */
export const perRow = ({ register }: Buffer, times = 1): Units => ({
	register,
	per: 1,
	times,
});
