// The list of kernels. Nothing else: assembly/signatures.mjs turns it into src/engine/signatures.ts.
export { add_f32 } from "./kernels/elementwise";
