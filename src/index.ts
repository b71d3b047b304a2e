/** The public names that are the same in every runtime; runtime/*.ts add `Model` and `loadTokenizer`. */
export type { CacheType } from "./engine/layouts.ts";
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
export type {
	Extent,
	PteDelegate,
	PteLiteral,
	PtePlan,
	PteTensor,
} from "./formats/pte.ts";
export type { XnnpackGraph, XnnpackTensor } from "./formats/pte-xnnpack.ts";
export type { Generation } from "./generate/generation.ts";
export type { GenerateOptions, LogitsProcessor } from "./generate/options.ts";
export type { FinishReason } from "./generate/stopping.ts";
export type { ImageInput } from "./images.ts";
export type {
	InspectedTensor,
	Inspection,
	ProgramInspection,
} from "./inspect.ts";
export type {
	InstructionProfile,
	LoadOptions,
	StepProfile,
} from "./load.ts";
export type {
	GenerateCallOptions,
	GenerateResult,
	ModelInfo,
} from "./model.ts";
export type { LoadProgress, SourceOptions } from "./open.ts";
export type { SizeOptions } from "./plan.ts";
export type { ImageOptions, Prompt } from "./prompts.ts";
export type { TensorPiece } from "./read-tensor.ts";
export type { Target } from "./runtime/runtime.ts";
export type { HubOptions } from "./sources/hub.ts";
export type { Source } from "./sources/open.ts";
export type { ByteSource, Repository } from "./sources/source.ts";
export type {
	ChatOptions,
	ChatTemplate,
	ChatTemplates,
	ContentPart,
	Message,
	RenderOptions,
	Tool,
	ToolCall,
} from "./text/chat-template.ts";
export type {
	Part,
	ReasoningPart,
	TextPart,
	ToolCallPart,
} from "./text/parts.ts";
export type {
	DecodeOptions,
	EncodeOptions,
	Tokenizer,
} from "./text/tokenizer.ts";
export { version } from "./version.ts";
export type { PanAndScan } from "./vision/crops.ts";
export type { RawImage } from "./vision/image.ts";
export type { Inputs } from "./weights.ts";
