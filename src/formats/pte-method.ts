// A method of an ExecuTorch program: its values, and the calls that compute them one after the other.
import { CheckpointError } from "../errors.ts";
import type { Table } from "./flatbuffer.ts";
import type { Extent, PteLiteral, PteTensor } from "./pte.ts";

export interface MethodTables {
	readonly name: string;
	/** "llama::custom_sdpa.out" */
	readonly operators: readonly string[];
	readonly values: readonly PteValue[];
	/** Places of values. */
	readonly inputs: readonly number[];
	readonly outputs: readonly number[];
	readonly delegates: readonly { readonly id: string; readonly data: Extent }[];
	/** In the order of execution; undefined where that is not one straight line. */
	readonly calls: readonly PteCall[] | undefined;
}

/** At most one of these; none for what nobody asks about. */
export interface PteValue {
	readonly tensor?: PteTensor | undefined;
	/** Places of the values in a list of tensors. */
	readonly list?: readonly number[] | undefined;
	/** A value that is no tensor and no list. */
	readonly literal?: PteLiteral | undefined;
}

/** `args` are places of values: what is read, then what is written. */
export interface PteCall {
	readonly kind: "operator" | "delegate";
	/** Place among the operators or the delegates. */
	readonly index: number;
	readonly args: readonly number[];
}

/** How a method refers to what the program holds. */
export interface ProgramData {
	constant(index: number): Extent | undefined;
	segment(index: number, what: string): Extent;
	readonly inline: readonly Extent[];
}

const TENSOR = 5;
const LISTS: readonly number[] = [10, 11];
const OPERATOR_CALL = 1;
const DELEGATE_CALL = 2;
const FREE_CALL = 5;
const SCALAR_TYPES = new Map([
	[0, "U8"],
	[1, "I8"],
	[2, "I16"],
	[3, "I32"],
	[4, "I64"],
	[5, "F16"],
	[6, "F32"],
	[7, "F64"],
	[11, "BOOL"],
	[15, "BF16"],
]);

/** Throws CheckpointError where a delegate has no data. */
export function readMethod(
	plan: Table,
	file: string,
	{ constant, segment, inline }: ProgramData,
): MethodTables {
	const name = plan.string(0) ?? "";
	const readValue = (value: Table): PteValue => {
		const kind = value.u8(0);
		const content = value.table(1);
		if (kind === TENSOR) return { tensor: content && tensorOf(content) };
		if (LISTS.includes(kind)) return { list: content?.i32s(0) ?? [] };
		return { literal: literal(kind, content) };
	};
	const tensorOf = (tensor: Table): PteTensor => {
		const type = tensor.i8(0);
		return {
			name: tensor.table(9)?.string(1),
			type: SCALAR_TYPES.get(type) ?? `?${type}`,
			shape: tensor.i32s(2),
			dimOrder: tensor.u8s(3),
			// With room in memory it is a variable, and that is where it starts.
			constant: tensor.table(6) ? undefined : constant(tensor.u32(5)),
		};
	};
	return {
		name,
		values: plan.tables(2).map(readValue),
		inputs: plan.i32s(3),
		outputs: plan.i32s(4),
		calls: callsOf(plan.tables(5)),
		operators: plan.tables(6).map((t) => {
			const overload = t.string(1);
			return (t.string(0) ?? "") + (overload ? `.${overload}` : "");
		}),
		delegates: plan.tables(7).map((t) => {
			const id = t.string(0) ?? "";
			const place = t.table(1);
			const index = place?.u32(1) ?? 0;
			const data = place?.u8(0) === 1 ? segment(index, id) : inline[index];
			if (data) return { id, data };
			throw new CheckpointError(`${file}: ${name} has no data for its ${id}`);
		}),
	};
}

function callsOf(chains: readonly Table[]): PteCall[] | undefined {
	const [chain] = chains;
	if (!chain || chains.length > 1) return undefined;
	const calls: PteCall[] = [];
	for (const instruction of chain.tables(2)) {
		const kind = instruction.u8(0);
		const call = instruction.table(1);
		if (kind === FREE_CALL) continue;
		if (!call || (kind !== OPERATOR_CALL && kind !== DELEGATE_CALL))
			return undefined;
		calls.push({
			kind: kind === OPERATOR_CALL ? "operator" : "delegate",
			index: call.i32(0),
			args: call.i32s(1),
		});
	}
	return calls;
}

function literal(
	kind: number,
	content: Table | undefined,
): PteLiteral | undefined {
	switch (kind) {
		case 1:
			return null;
		case 2:
			return content?.i64(0) ?? 0;
		case 3:
			return content?.u8(0) === 1;
		case 4:
			return content?.f64(0) ?? 0;
		case 6:
			return content?.string(0) ?? "";
		default:
			return undefined;
	}
}

/** The type of a tensor whose elements lie in the order that its shape says; of any other one that nobody reads. */
export function storedType({ type, dimOrder }: PteTensor): string {
	const isRowMajor = dimOrder.every((dim, i) => dim === i);
	return isRowMajor ? type : `${type} in dimension order ${dimOrder}`;
}
