import type { Thread } from "../engine/pool.ts";
import type { HubSurroundings } from "../sources/hub.ts";
import type { ByteSource, Repository } from "../sources/source.ts";
import type { createTokenizerFrom } from "../text/open.ts";

/** The two builds of the kernels: for WebAssembly SIMD, and for the relaxed instructions that newer engines add. */
export type Target = "simd" | "relaxed";

/** A build of one of the two modules of kernels: of those that most models need, or of those of rare layouts. */
export type KernelBuild = Target | `${Target}-rare`;

/** Everything the library needs from a JavaScript runtime, and nothing else. One implementation per file in this folder. */
export interface Runtime {
	readonly name: "server" | "web" | "workerd";
	/** Opens a path, as a file or as a folder; undefined where there is none, or where the runtime has no file system. */
	openPath?(path: string): Promise<ByteSource | Repository | undefined>;
	/** What surrounds the program says about the Hugging Face Hub, and where its files are kept; asked when a model is on the Hub. */
	hub?(): Promise<HubSurroundings>;
	/** The embedded model. */
	embedded(): Promise<Repository>;
	/** A build of kernels, compiled for shared or unshared memory. Embedded bytes, except where only modules compiled ahead of time are accepted. */
	kernels(build: KernelBuild, shared: boolean): Promise<WebAssembly.Module>;
	/** The WebP decoder's module, where there is no decoder of the platform's. */
	webpModule?(): Promise<WebAssembly.Module>;
	/** Threads worth using; 1 where `spawn` is missing or memory cannot be shared with another thread. */
	readonly threads: number;
	/** Why there are no more threads than that, for people; undefined where nothing stands in the way. */
	readonly threadLimit?: string | undefined;
	spawn?(): Thread;
	/** Lets timers, input and output have their turn, if they have waited for long. */
	yield(): Promise<void>;
	/** Told what a model's tokenizer is built from, for another thread to build one of its own. */
	onTokenizer?(...made: Parameters<typeof createTokenizerFrom>): void;
	/** Bytes of memory that the system could still give, where it says. */
	freeMemoryBytes?(): number | undefined;
}
