// A machine for the pickles that torch.save writes: protocol 2, and of its opcodes only those that torch's own
// weights-only reader accepts. Nothing is imported and nothing is executed: a global is looked up in a list that the
// caller brings, and REDUCE may call only what that list says can be called.
//
// Python → here: None null · int number, or bigint past 2^53 · float number · str string · bytes Uint8Array
//                list array · tuple frozen array · dict Map · set Set · class or function Global · instance Instance
import { CheckpointError, UnsupportedError } from "../errors.ts";

/** A class or function of the caller's list. */
export interface Global {
	/** Full Python name: "torch._utils._rebuild_tensor_v2". */
	readonly global: string;
	/** What calling it yields; absent where it is only ever mentioned. */
	readonly call?: (args: readonly unknown[]) => unknown;
	/** Whether it may be instantiated without arguments. */
	readonly instantiable?: boolean;
}

/** An object of an instantiable class. Its state is not kept. */
export interface Instance {
	readonly instanceOf: Global;
}

export interface PickleHost {
	/** File and record, for error messages. */
	readonly where: string;
	/** The global of that full name; undefined where it is not allowed. */
	global(name: string): Global | undefined;
	/** The object that a persistent id stands for. */
	persistent(id: readonly unknown[]): unknown;
}

/** Each opcode makes at most one object, so this bounds memory; a tensor takes about 40, a quantized one about 200. */
const MAX_OPCODES = 1 << 21;
/** Open MARKs: torch's own pickles have about ten. */
const MAX_DEPTH = 256;

/** Runs a pickle and returns the object it describes. Throws CheckpointError or UnsupportedError for everything outside the subset. */
export function unpickle(bytes: Uint8Array, host: PickleHost): unknown {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const text = new TextDecoder("utf-8", { fatal: true });
	const memo = new Map<number, unknown>();
	const outer: unknown[][] = [];
	let stack: unknown[] = [];
	let at = 0;

	const fail = (what: string): CheckpointError =>
		new CheckpointError(`${host.where}: ${what}, at byte ${at} of the pickle`);
	const take = (length: number): number => {
		if (length > bytes.length - at) throw fail("the pickle is cut short");
		at += length;
		return at - length;
	};
	const byte = () => bytes[take(1)]!;
	const uint32 = () => view.getUint32(take(4), true);
	const decode = (start: number, length: number): string => {
		try {
			return text.decode(bytes.subarray(start, start + length));
		} catch {
			throw fail("a string is not UTF-8");
		}
	};
	const line = (): string => {
		const end = bytes.indexOf(10, at);
		if (end < 0) throw fail("the pickle is cut short");
		const start = take(end + 1 - at);
		return decode(start, end - start);
	};
	const pop = (): unknown => {
		if (stack.length === 0) throw fail("the stack is empty");
		return stack.pop();
	};
	const top = (): unknown => {
		if (stack.length === 0) throw fail("the stack is empty");
		return stack[stack.length - 1];
	};
	const popMark = (): unknown[] => {
		const items = stack;
		const before = outer.pop();
		if (before === undefined) throw fail("no MARK is open");
		stack = before;
		return items;
	};
	const popTuple = (use: string): readonly unknown[] => {
		const value = pop();
		if (!isTuple(value)) throw fail(`${use} takes a tuple`);
		return value;
	};
	const pushTuple = (length: number) => {
		if (stack.length < length) throw fail("the stack is empty");
		stack.push(Object.freeze(stack.splice(stack.length - length)));
	};
	const append = (list: unknown, items: readonly unknown[]) => {
		if (!Array.isArray(list) || Object.isFrozen(list)) {
			throw fail("APPEND to something that is no list");
		}
		for (const item of items) list.push(item);
	};
	const setItems = (dict: unknown, items: readonly unknown[]) => {
		if (!(dict instanceof Map)) {
			throw fail("SETITEM on something that is no dict");
		}
		if (items.length % 2 !== 0) throw fail("a key without a value");
		for (let i = 0; i < items.length; i += 2) {
			const key = items[i];
			if (dict.has(key)) throw fail(`a dict has the key ${show(key)} twice`);
			dict.set(key, items[i + 1]);
		}
	};
	const recall = (index: number): unknown => {
		if (!memo.has(index)) throw fail(`memo ${index} was never stored`);
		return memo.get(index);
	};
	const popGlobal = (): Global => {
		const value = pop();
		if (!isGlobal(value)) throw fail("a call of something that is no function");
		return value;
	};

	for (let count = 0; count < MAX_OPCODES; count++) {
		const opcode = byte();
		switch (opcode) {
			case 0x80: {
				// PROTO
				const protocol = byte();
				if (protocol !== 2) {
					throw new UnsupportedError(
						`${host.where}: pickle protocol ${protocol}, expected 2; save it again with torch.save's default protocol, or as safetensors`,
					);
				}
				break;
			}
			case 0x2e: // STOP
				if (outer.length > 0) throw fail("STOP inside a MARK");
				return pop();
			case 0x28: // MARK
				if (outer.length >= MAX_DEPTH) {
					throw fail(`more than ${MAX_DEPTH} open MARKs`);
				}
				outer.push(stack);
				stack = [];
				break;
			case 0x4e: // NONE
				stack.push(null);
				break;
			case 0x88: // NEWTRUE
				stack.push(true);
				break;
			case 0x89: // NEWFALSE
				stack.push(false);
				break;
			case 0x4b: // BININT1
				stack.push(byte());
				break;
			case 0x4d: // BININT2
				stack.push(view.getUint16(take(2), true));
				break;
			case 0x4a: // BININT
				stack.push(view.getInt32(take(4), true));
				break;
			case 0x8a: {
				// LONG1: length, then two's complement
				const length = byte();
				stack.push(littleEndian(bytes, take(length), length));
				break;
			}
			case 0x47: // BINFLOAT, big-endian
				stack.push(view.getFloat64(take(8)));
				break;
			case 0x58: {
				// BINUNICODE
				const length = uint32();
				stack.push(decode(take(length), length));
				break;
			}
			case 0x55: {
				// SHORT_BINSTRING: protocol 2 has it for Python 2's str
				const length = byte();
				stack.push(decode(take(length), length));
				break;
			}
			case 0x29: // EMPTY_TUPLE
				pushTuple(0);
				break;
			case 0x85: // TUPLE1
				pushTuple(1);
				break;
			case 0x86: // TUPLE2
				pushTuple(2);
				break;
			case 0x87: // TUPLE3
				pushTuple(3);
				break;
			case 0x74: {
				// TUPLE
				const items = popMark();
				stack.push(Object.freeze(items));
				break;
			}
			case 0x5d: // EMPTY_LIST
				stack.push([]);
				break;
			case 0x61: {
				// APPEND
				const item = pop();
				append(top(), [item]);
				break;
			}
			case 0x65: {
				// APPENDS
				const items = popMark();
				append(top(), items);
				break;
			}
			case 0x7d: // EMPTY_DICT
				stack.push(new Map());
				break;
			case 0x73: {
				// SETITEM
				const value = pop();
				const key = pop();
				setItems(top(), [key, value]);
				break;
			}
			case 0x75: {
				// SETITEMS
				const items = popMark();
				setItems(top(), items);
				break;
			}
			case 0x8f: // EMPTY_SET
				stack.push(new Set());
				break;
			case 0x71: // BINPUT
				memo.set(byte(), top());
				break;
			case 0x72: // LONG_BINPUT
				memo.set(uint32(), top());
				break;
			case 0x68: // BINGET
				stack.push(recall(byte()));
				break;
			case 0x6a: // LONG_BINGET
				stack.push(recall(uint32()));
				break;
			case 0x63: {
				// GLOBAL
				const name = `${line()}.${line()}`;
				const found = host.global(name);
				if (found === undefined) {
					throw new UnsupportedError(
						`${host.where}: the pickle asks for ${show(name)}, which is not on the list of what a checkpoint may contain; nothing was executed`,
					);
				}
				stack.push(found);
				break;
			}
			case 0x51: // BINPERSID
				stack.push(host.persistent(popTuple("a persistent id")));
				break;
			case 0x52: {
				// REDUCE
				const args = popTuple("a call");
				const callee = popGlobal();
				if (callee.call === undefined) {
					throw new UnsupportedError(
						`${host.where}: the pickle calls ${callee.global}, which a checkpoint may only mention`,
					);
				}
				stack.push(callee.call(args));
				break;
			}
			case 0x81: {
				// NEWOBJ
				const args = popTuple("a new object");
				const callee = popGlobal();
				if (!callee.instantiable || args.length > 0) {
					throw new UnsupportedError(
						`${host.where}: the pickle makes a ${callee.global} of ${args.length} arguments, which a checkpoint may not contain`,
					);
				}
				stack.push({ instanceOf: callee } satisfies Instance);
				break;
			}
			case 0x62: {
				// BUILD: attributes of a state dict ("_metadata") or of a layout object, which say nothing about tensors
				pop();
				const target = top();
				if (!(target instanceof Map) && !isInstance(target)) {
					throw fail("BUILD on something that has no state");
				}
				break;
			}
			default:
				throw new UnsupportedError(
					`${host.where}: pickle opcode 0x${opcode.toString(16).padStart(2, "0")} at byte ${at - 1}, which checkpoints do not use`,
				);
		}
	}
	throw fail(`more than ${MAX_OPCODES} opcodes`);
}

export function isTuple(value: unknown): value is readonly unknown[] {
	return Array.isArray(value) && Object.isFrozen(value);
}

export function isGlobal(value: unknown): value is Global {
	return typeof value === "object" && value !== null && "global" in value;
}

export function isInstance(value: unknown): value is Instance {
	return typeof value === "object" && value !== null && "instanceOf" in value;
}

/** A value in an error message. Never descends into containers: a pickle may nest a million of them. */
export function show(value: unknown): string {
	if (typeof value === "string") {
		return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
	}
	if (isGlobal(value)) return value.global;
	if (isTuple(value)) return `a tuple of ${value.length}`;
	if (Array.isArray(value)) return `a list of ${value.length}`;
	if (value instanceof Map) return `a dict of ${value.size}`;
	return typeof value === "object" && value !== null
		? "an object"
		: String(value);
}

function littleEndian(
	bytes: Uint8Array,
	start: number,
	length: number,
): number | bigint {
	let value = 0n;
	for (let i = length - 1; i >= 0; i--) {
		value = (value << 8n) | BigInt(bytes[start + i]!);
	}
	value = BigInt.asIntN(8 * length, value);
	const number = Number(value);
	return Number.isSafeInteger(number) ? number : value;
}
