import type { KernelName } from "../../src/engine/kernels.ts";
import * as elementwise from "./elementwise.ts";
import type { Entry } from "./entry.ts";

/** Every kernel in plain loops. A kernel without an entry does not compile. */
export const reference: { readonly [K in KernelName]: Entry<K> } = {
	...elementwise,
};
