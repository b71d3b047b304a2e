/** As much of ONNX's protobuf messages as a graph of a language model needs. */

export type Bytes = Uint8Array<ArrayBuffer>;

const utf8 = new TextEncoder();

function concat(parts: readonly Bytes[]): Bytes {
	const whole = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}

function varint(value: number): Bytes {
	const bytes: number[] = [];
	let rest = BigInt.asUintN(64, BigInt(value));
	for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
	return Uint8Array.from([...bytes, Number(rest)]);
}

/** Fields by their numbers in onnx.proto; each value of a list is a field of its own. */
type Field = readonly [number: number, value: number | string | Bytes | Float];
interface Float {
	readonly float: number;
}

function message(fields: readonly Field[]): Bytes {
	return concat(
		fields.flatMap(([number, value]) => {
			const tag = (wire: number) => varint(number * 8 + wire);
			if (typeof value === "number") return [tag(0), varint(value)];
			if ("float" in Object(value))
				return [
					tag(5),
					new Uint8Array(Float32Array.of((value as Float).float).buffer),
				];
			const bytes =
				typeof value === "string" ? utf8.encode(value) : (value as Bytes);
			return [tag(2), varint(bytes.length), bytes];
		}),
	);
}

export const elementTypes = { f32: 1, u8: 2, i8: 3, i32: 6, i64: 7 } as const;
export type ElementType = keyof typeof elementTypes;

export function tensor(
	name: string,
	type: ElementType,
	dims: readonly number[],
	raw: Bytes,
): Bytes {
	return message([
		...dims.map((d): Field => [1, d]),
		[2, elementTypes[type]],
		[8, name],
		[9, raw],
	]);
}

/** An input or output of the graph; a dimension that is a text may be of any size. */
export function value(
	name: string,
	type: ElementType,
	dims: readonly (number | string)[],
): Bytes {
	const shape = dims.map(
		(d): Field => [1, message([typeof d === "number" ? [1, d] : [2, d]])],
	);
	const tensorType = message([
		[1, elementTypes[type]],
		[2, message(shape)],
	]);
	return message([
		[1, name],
		[2, message([[1, tensorType]])],
	]);
}

export interface Node {
	readonly op: string;
	/** "com.microsoft" for ONNX Runtime's own operators. */
	readonly domain?: string;
	/** "" stands for an optional one that is left out. */
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	readonly attributes?: Readonly<Record<string, number | Float>>;
}

function node({ op, domain = "", inputs, outputs, attributes = {} }: Node) {
	const FLOAT = 1;
	const INT = 2;
	return message([
		...inputs.map((name): Field => [1, name]),
		...outputs.map((name): Field => [2, name]),
		[3, `${op} ${outputs[0]}`],
		[4, op],
		...Object.entries(attributes).map(([name, value]): Field => {
			const typed: Field[] =
				typeof value === "number"
					? [
							[3, value],
							[20, INT],
						]
					: [
							[2, value],
							[20, FLOAT],
						];
			return [5, message([[1, name], ...typed])];
		}),
		[7, domain],
	]);
}

export function model(graph: {
	readonly nodes: readonly Node[];
	readonly initializers: readonly Bytes[];
	readonly inputs: readonly Bytes[];
	readonly outputs: readonly Bytes[];
}): Bytes {
	const opset = (domain: string, version: number): Field => [
		8,
		message([
			[1, domain],
			[2, version],
		]),
	];
	return message([
		[1, 8],
		[2, "nibble-lm bench"],
		[
			7,
			message([
				...graph.nodes.map((n): Field => [1, node(n)]),
				[2, "language model"],
				...graph.initializers.map((t): Field => [5, t]),
				...graph.inputs.map((v): Field => [11, v]),
				...graph.outputs.map((v): Field => [12, v]),
			]),
		],
		opset("", 17),
		opset("com.microsoft", 1),
	]);
}
