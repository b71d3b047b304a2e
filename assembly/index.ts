// The list of kernels that most models need. rare.ts lists the others; assembly/signatures.mjs makes src/engine/signatures.ts of both.
export {
  attention_f16,
  attention_f32,
  attention_i8,
  attention_merge_f32,
  attention_partial_f16,
  attention_partial_f32,
  attention_partial_i8,
} from "./kernels/attention";
export { attention_full_f32 } from "./kernels/attention-full";
export { add_f32, geglu_f32, gelu_f32, scale_f32, swiglu_f32 } from "./kernels/elementwise";
export {
  kv_write_f16,
  kv_write_f32,
  kv_write_i8,
  rope_kv_write_f16,
  rope_kv_write_f32,
  rope_kv_write_i8,
} from "./kernels/kv";
export {
  embed_bf16w,
  embed_f16w,
  embed_f32w,
  gemm_f32_bf16w,
  gemm_f32_f16w,
  gemm_f32_f32w,
  pack_bf16w_bf16,
  pack_f16w_f16,
  pack_f32w_f32,
} from "./kernels/floatw";
export { layernorm_f32, rmsnorm_f32 } from "./kernels/norm";
export {
  embed_qb4w_bf16,
  embed_qb4w_f16,
  embed_qb4w_f32,
  gemm_f32_qb4w_bf16,
  gemm_f32_qb4w_f16,
  gemm_f32_qb4w_f32,
  gemm_qb8_qb4w_bf16,
  gemm_qb8_qb4w_f16,
  gemm_qd8_qb4w_bf16,
  gemm_qd8_qb4w_f16,
  gemm_qd8_qb4w_f32,
  pack_qb4w_bf16_packed,
  pack_qb4w_bf16_i8,
  pack_qb4w_f16_i8,
  pack_qb4w_f16_packed,
  pack_qb4w_f16_q4_0,
  pack_qb4w_f32_packed,
  pack_qb4w_f32_i8,
} from "./kernels/qb4w";
export { embed_q4kw, gemm_qk8_q4kw, pack_q4kw_q4_k } from "./kernels/q4kw";
export { embed_q6kw, gemm_qk8_q6kw, pack_q6kw_q6_k } from "./kernels/q6kw";
export { embed_qb8w, gemm_qb8_qb8w, pack_qb8w_q8_0 } from "./kernels/qb8w";
export {
  embed_qc8w,
  gemm_f32_qc8w,
  gemm_f32_qc8zw,
  gemm_qd8_qc8w,
  pack_qc8w_i8_bf16,
  pack_qc8w_i8_f16,
  pack_qc8w_i8_f32,
  pack_qc8zw_i8_bf16,
  pack_qc8zw_i8_f16,
  pack_qc8zw_i8_f32,
} from "./kernels/qc8w";
export { quantize_f32_qb8, quantize_f32_qd8, quantize_f32_qs8, quantize_static_f32_qd8 } from "./kernels/quantize";
export { quantize_f32_qk8 } from "./kernels/quantize-k";
export { argmax_f32, logsoftmax_at_f32, softmax_f32 } from "./kernels/reduce";
export { rope_f32, rope_table_f32 } from "./kernels/rope";
export {
  gather_columns_f32,
  gather_f32,
  join_blocks_f32,
  pool_f32,
  scatter_columns_f32,
  spread_blocks_f32,
} from "./kernels/rows";
export {
  geglu_f32_qb8,
  geglu_f32_qd8,
  geglu_f32_qk8,
  rmsnorm_f32_qb8,
  rmsnorm_f32_qd8,
  rmsnorm_f32_qk8,
  rmsnorm_f32_qs8,
  swiglu_f32_qb8,
  swiglu_f32_qd8,
  swiglu_f32_qk8,
  swiglu_f32_qs8,
} from "./kernels/fused";
