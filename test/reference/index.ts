import type { KernelName } from "../../src/engine/kernels.ts";
import * as attention from "./attention.ts";
import * as elementwise from "./elementwise.ts";
import type { Entry } from "./entry.ts";
import * as f8w from "./f8w.ts";
import * as floatw from "./floatw.ts";
import * as fused from "./fused.ts";
import * as iq4nlw from "./iq4nlw.ts";
import * as iq4xsw from "./iq4xsw.ts";
import {
	kv_write_f16,
	kv_write_f32,
	kv_write_i8,
	rope_kv_write_f16,
	rope_kv_write_f32,
	rope_kv_write_i8,
} from "./kv.ts";
import * as lut4w from "./lut4w.ts";
import * as norm from "./norm.ts";
import * as q2kw from "./q2kw.ts";
import * as q3kw from "./q3kw.ts";
import * as q4kw from "./q4kw.ts";
import * as q5kw from "./q5kw.ts";
import * as q6kw from "./q6kw.ts";
import * as qb4w from "./qb4w.ts";
import * as qb4zw from "./qb4zw.ts";
import * as qb5w from "./qb5w.ts";
import * as qb8w from "./qb8w.ts";
import * as qbnw from "./qbnw.ts";
import * as qc8w from "./qc8w.ts";
import {
	quantize_f32_qb8,
	quantize_f32_qd8,
	quantize_f32_qs8,
	quantize_static_f32_qd8,
} from "./quantize.ts";
import { quantize_f32_qk8 } from "./quantize-k.ts";
import * as reduce from "./reduce.ts";
import * as rope from "./rope.ts";
import * as rows from "./rows.ts";
import * as tq1w from "./tq1w.ts";
import * as tq2w from "./tq2w.ts";

/** Every kernel in plain loops. A kernel without an entry does not compile. */
export const reference: { readonly [K in KernelName]: Entry<K> } = {
	...attention,
	...elementwise,
	...f8w,
	...floatw,
	...fused,
	...iq4nlw,
	...iq4xsw,
	kv_write_f16,
	kv_write_f32,
	kv_write_i8,
	rope_kv_write_f16,
	rope_kv_write_f32,
	rope_kv_write_i8,
	...lut4w,
	...norm,
	...q2kw,
	...q3kw,
	...q4kw,
	...q5kw,
	...q6kw,
	...qb4w,
	...qb4zw,
	...qb5w,
	...qb8w,
	...qbnw,
	...qc8w,
	quantize_f32_qb8,
	quantize_f32_qd8,
	quantize_f32_qs8,
	quantize_static_f32_qd8,
	quantize_f32_qk8,
	...reduce,
	...rope,
	...rows,
	...tq1w,
	...tq2w,
};
