import type { ProgramInspection } from "../runtime/server.ts";
import { table } from "./arguments.ts";
import { formatBytes } from "./progress.ts";

type Plan = ProgramInspection["plans"][number];
type Delegate = Plan["delegates"][number];

/** Lines about an ExecuTorch program's methods. */
export function describeProgram({
	version,
	metadata,
	plans,
	namedData,
}: ProgramInspection): string[] {
	const values = Object.entries(metadata).map(
		([name, value]): Row => [
			name,
			typeof value === "string" ? JSON.stringify(value) : String(value),
		],
	);
	return [
		"",
		...table([
			["program", `version ${version}, ${namedData.size} named pieces of data`],
			...values,
		]),
		...plans.flatMap((plan) => ["", plan.name, ...table(rowsOf(plan))]),
	];
}

type Row = readonly [string, string];

function rowsOf(plan: Plan): Row[] {
	const { operators, delegates, tensors, inputs, outputs } = plan;
	const shapes = (list: Plan["inputs"]) =>
		list.map(({ type, shape }) => `${type} [${shape.join(", ")}]`).join(", ");
	const constants = tensors.filter((tensor) => tensor.constant);
	return [
		["inputs", shapes(inputs)],
		["outputs", shapes(outputs)],
		["tensors", `${tensors.length}, of them ${constants.length} constant`],
		["operators", [...new Set(operators)].join(", ") || "none"],
		...delegates.flatMap(describeDelegate),
	];
}

function describeDelegate({ id, bytes, xnnpack }: Delegate): Row[] {
	const counts = new Map<string, number>();
	for (const { type, groupSize, shape } of xnnpack?.linears ?? []) {
		const kind = `${type}${groupSize > 0 ? ` g${groupSize}` : ""} [${shape.join(", ")}]`;
		counts.set(kind, (counts.get(kind) ?? 0) + 1);
	}
	const nodes = xnnpack ? `, ${xnnpack.nodes} nodes` : "";
	return [
		["delegate", `${id}, ${formatBytes(bytes)}${nodes}`],
		...[...counts].map(
			([kind, count]): Row => [
				"",
				`${count} linear layer${count > 1 ? "s" : ""} ${kind}`,
			],
		),
	];
}
