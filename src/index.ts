/** The public names that are the same in every runtime; runtime/*.ts add `Model` and `loadTokenizer`. */
export {
	CheckpointError,
	ContextError,
	EngineError,
	ImageError,
	NibbleError,
	OptionError,
	SourceError,
	UnsupportedError,
} from "./errors.ts";
export type { Estimate } from "./estimate.ts";
export type { Generation } from "./generate/generation.ts";
export type { GenerateOptions, LogitsProcessor } from "./generate/options.ts";
export type { FinishReason } from "./generate/stopping.ts";
export type { ImageInput } from "./images.ts";
export type { InspectedTensor, Inspection } from "./inspect.ts";
export type { ProgramInspection } from "./inspect-program.ts";
export type {
	InstructionProfile,
	LoadOptions,
	LoadProgress,
	StepProfile,
} from "./load.ts";
export type {
	GenerateCallOptions,
	GenerateResult,
	ImageOptions,
	ModelInfo,
	Prompt,
} from "./model.ts";
export type { TensorPiece } from "./read-tensor.ts";
export type { Source } from "./sources/open.ts";
export type { ByteSource, Repository } from "./sources/source.ts";
export type {
	ChatOptions,
	ChatTemplate,
	ContentPart,
	Message,
	Tool,
	ToolCall,
} from "./text/chat-template.ts";
export type { Part, ToolCallPart } from "./text/parts.ts";
export type {
	DecodeOptions,
	EncodeOptions,
	Tokenizer,
} from "./text/tokenizer.ts";
export { version } from "./version.ts";
export type { PanAndScan } from "./vision/crops.ts";
export type { RawImage } from "./vision/image.ts";
