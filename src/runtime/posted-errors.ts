import * as classes from "../errors.ts";

/** An error in terms that can be posted to another thread. `cause` may be another error. */
export interface PostedError {
	readonly name: string;
	readonly message: string;
	readonly stack: string | undefined;
	readonly isDomException: boolean;
	/** Its own enumerable properties and its cause, as far as they are errors or plain values. */
	readonly properties: Readonly<Record<string, unknown>>;
}

export function describeError(error: Error): PostedError {
	const { name, message, stack } = error;
	const properties = {
		...error,
		...("cause" in error ? { cause: error.cause } : {}),
	};
	return {
		name,
		message,
		stack,
		isDomException:
			typeof DOMException === "function" && error instanceof DOMException,
		properties: Object.fromEntries(
			Object.entries(properties).filter(
				([, value]) =>
					value instanceof Error ||
					!/object|function|symbol/.test(typeof value),
			),
		),
	};
}

/** An error of the class that the described one had, as far as the class is known here. */
export function rebuildError(posted: PostedError): Error {
	const { name, message, stack, isDomException, properties } = posted;
	// Its properties belong to its prototype, and its name is what matters.
	if (isDomException) return new DOMException(message, name);
	const error = new (classOf(name))(message);
	for (const [key, value] of Object.entries(properties))
		Object.defineProperty(error, key, {
			value,
			enumerable: key !== "cause",
			configurable: true,
			writable: true,
		});
	Object.defineProperty(error, "stack", {
		value: stack,
		configurable: true,
		writable: true,
	});
	if (error.name !== name) error.name = name;
	return error;
}

function classOf(name: string): new (message: string) => Error {
	const ours = (classes as Readonly<Record<string, unknown>>)[name];
	if (isErrorClass(ours)) return ours;
	const native = (globalThis as Record<string, unknown>)[name];
	return isErrorClass(native) ? native : Error;
}

const isErrorClass = (
	value: unknown,
): value is new (
	message: string,
) => Error =>
	typeof value === "function" &&
	(value === Error || value.prototype instanceof Error) &&
	value !== globalThis.DOMException &&
	value.name !== "AggregateError";
