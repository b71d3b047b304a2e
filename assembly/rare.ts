// The list of kernels of layouts that few models have. They are a module of their own, which only those models load.
export {
  embed_f8e4m3w,
  embed_f8e5m2w,
  gemm_f32_f8e4m3w,
  gemm_f32_f8e5m2w,
  pack_f8e4m3w_f8_e4m3,
  pack_f8e4m3w_f8_e4m3_scaled,
  pack_f8e5m2w_f8_e5m2,
} from "./kernels/f8w";
export {
  embed_iq4nlw,
  embed_mxfp4w,
  gemm_qb8_iq4nlw,
  gemm_qb8_mxfp4w,
  pack_iq4nlw_iq4_nl,
  pack_mxfp4w_mxfp4,
} from "./kernels/iq4nlw";
export { embed_iq4xsw, gemm_qk8_iq4xsw, pack_iq4xsw_iq4_xs } from "./kernels/iq4xsw";
export {
  embed_lut4w_f32,
  embed_lut4w_u8,
  gemm_f32_lut4w_f32,
  gemm_f32_lut4w_u8,
  pack_lut4w_f32_bitsandbytes,
  pack_lut4w_u8_bitsandbytes,
} from "./kernels/lut4w";
export { embed_q2kw, gemm_qk8_q2kw, pack_q2kw_q2_k } from "./kernels/q2kw";
export { embed_q3kw, gemm_qk8_q3kw, pack_q3kw_q3_k } from "./kernels/q3kw";
export { embed_q5kw, gemm_qk8_q5kw, pack_q5kw_q5_k } from "./kernels/q5kw";
export {
  embed_qb4zw,
  gemm_f32_qb4zw,
  gemm_qb8_qb4zw,
  gemm_qd8_qb4zw,
  pack_qb4zw_i8,
  pack_qb4zw_packed,
} from "./kernels/qb4zw";
export {
  embed_q4_1w,
  embed_q5_1w,
  embed_qb5w,
  gemm_qb8_q4_1w,
  gemm_qb8_q5_1w,
  gemm_qb8_qb5w,
  pack_q4_1w_q4_1,
  pack_q5_1w_q5_1,
  pack_qb5w_q5_0,
} from "./kernels/qb5w";
export {
  embed_qbnw,
  gemm_f32_qbnw,
  gemm_qb8_qbnw,
  gemm_qd8_qbnw,
  pack_qbnw_i8,
  pack_qbnw_i8_zeros,
} from "./kernels/qbnw";
export { embed_tq1w, gemm_qk8_tq1w, pack_tq1w_tq1_0 } from "./kernels/tq1w";
export { embed_tq2w, gemm_qk8_tq2w, pack_tq2w_tq2_0 } from "./kernels/tq2w";
