/** A WebAssembly file, which workerd compiles ahead of time. The build puts the builds of the kernels beside this one. */
declare module "*.wasm" {
	const module: WebAssembly.Module;
	export default module;
}
