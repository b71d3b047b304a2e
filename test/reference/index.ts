import type { KernelName } from "../../src/engine/kernels.ts";
import * as elementwise from "./elementwise.ts";
import type { Entry } from "./entry.ts";
import * as norm from "./norm.ts";
import * as reduce from "./reduce.ts";
import * as rope from "./rope.ts";
import * as rows from "./rows.ts";

/** Every kernel in plain loops. A kernel without an entry does not compile. */
export const reference: { readonly [K in KernelName]: Entry<K> } = {
	...elementwise,
	...norm,
	...reduce,
	...rope,
	...rows,
};
