/** Base of every error that this library throws on purpose. `message` says what, where, what was found and what was expected. */
export class NibbleError extends Error {
	override name = "NibbleError";
}

/** A checkpoint that is damaged, incomplete or contradicts itself. */
export class CheckpointError extends NibbleError {
	override name = "CheckpointError";
}

/** Something well-formed that this version cannot run: an architecture, a tensor type, a tokenizer component. */
export class UnsupportedError extends NibbleError {
	override name = "UnsupportedError";
}

/** An option or argument outside its range. */
export class OptionError extends NibbleError {
	override name = "OptionError";
}

/** A prompt, or a prompt and what was asked for after it, that does not fit into the model's context. */
export class ContextError extends NibbleError {
	override name = "ContextError";
}

/** A source that cannot be read: a missing file, a refused request, a connection that ended early. */
export class SourceError extends NibbleError {
	override name = "SourceError";
	/** HTTP status of the answer, where there was one. */
	readonly status: number | undefined;
	/** Address that was asked, without user, password, query and fragment. */
	readonly url: string | undefined;

	constructor(
		message: string,
		options: ErrorOptions & { status?: number; url?: string } = {},
	) {
		super(message, options);
		this.status = options.status;
		this.url = options.url;
	}
}

/** An image that is damaged, of an unknown format, or too large. */
export class ImageError extends NibbleError {
	override name = "ImageError";
}

/** A running model that failed: a worker that threw or died, memory that could not be had, numbers that are not finite. */
export class EngineError extends NibbleError {
	override name = "EngineError";
}
