// What a pointer parameter points at. Every kernel parameter is one of these, or an i32/f32 value.
// All pointers are 16-byte aligned. "Or 0" marks an operand that a call may leave out.

/** f32 values, row-major. */
export type F32 = usize;
/** f32 values, row-major, or 0 where the call has none. */
export type F32Or0 = usize;
/** i32 values. */
export type I32 = usize;
/** Stored bytes as they came from a checkpoint: the input of packing kernels. */
export type Bytes = usize;
/** Key/value pages: pages.ts has the diagram. */
export type KV = usize;
/** Memory that belongs to the running part alone: a kernel may overwrite it and finds nothing in it. */
export type Scratch = usize;
/** Activations quantized to int8, with one scale per block or row: kernels/quantize.ts has the diagram. */
export type QD8 = usize;

// Packed weights. The kernel file of the same name has the diagram.
/** f32 weights: kernels/floatw.ts. */
export type F32W = usize;
/** f16 weights: kernels/floatw.ts. */
export type F16W = usize;
/** bf16 weights: kernels/floatw.ts. */
export type BF16W = usize;
/** 8-bit weights in blocks of 32 with f16 scales: kernels/qb8w.ts. */
export type QB8W = usize;
/** 4-bit weights in blocks with f16 or bf16 scales: kernels/qb4w.ts. */
export type QB4W = usize;
/** 4-bit weights in blocks with scales and zero points: kernels/qb4zw.ts. */
export type QB4ZW = usize;
/** Weights of 1 to 8 bits in blocks of any size: kernels/qbnw.ts. */
export type QBNW = usize;
/** 8-bit weights with a scale, and a zero point or none, per row: kernels/qc8w.ts. */
export type QC8W = usize;
/** Weights as floats of 8 bits with scales of blocks: kernels/f8w.ts. */
export type F8E4M3W = usize;
export type F8E5M2W = usize;
/** 4-bit weights in blocks of 256 with scales and minimums of groups: kernels/q4kw.ts. */
export type Q4KW = usize;
/** 6-bit weights in blocks of 256 with scales of groups: kernels/q6kw.ts. */
export type Q6KW = usize;
/** Q5_0, Q4_1 and Q5_1: kernels/qb5w.ts. */
export type QB5W = usize;
export type Q4_1W = usize;
export type Q5_1W = usize;
/** 5-bit weights in blocks of 256 with scales and minimums of groups: kernels/q5kw.ts. */
export type Q5KW = usize;
/** 3-bit weights in blocks of 256 with scales of groups: kernels/q3kw.ts. */
export type Q3KW = usize;
/** 2-bit weights in blocks of 256 with scales and minimums of groups: kernels/q2kw.ts. */
export type Q2KW = usize;
/** Weights −1, 0, 1, 2 in blocks of 256: kernels/tq2w.ts. */
export type TQ2W = usize;
/** Weights −1, 0, 1, five to a byte, in blocks of 256: kernels/tq1w.ts. */
export type TQ1W = usize;
/** 4-bit places in a table of f32, in blocks: kernels/lut4w.ts. */
export type LUT4W = usize;
/** 4-bit places in a table of int8, in blocks of 32: kernels/iq4nlw.ts. */
export type IQ4NLW = usize;
export type MXFP4W = usize;
/** The same in blocks of 256 with scales of groups: kernels/iq4xsw.ts. */
export type IQ4XSW = usize;
