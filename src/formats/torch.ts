// What torch.save writes (PyTorch 1.6 and later): a ZIP archive holding <root>/data.pkl, a pickle of {name: tensor}, and
// one record <root>/data/<key> per storage. Several tensors may share a storage, start inside it or walk it with strides.
//
// A quantized tensor of torchao appears as torchao's own safetensors form spells it, so that one scheme reads both:
// "a.weight" becomes "a._weight_qdata", "a._weight_scale", "a._weight_zero_point", described by metadata["a.weight"].
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { ByteSource } from "../sources/source.ts";
import type { Contents, Format, StoredTensor } from "./checkpoint.ts";
import { show, unpickle } from "./pickle.ts";
import { isQuantizedTensor, isTensor, torchHost } from "./torch-objects.ts";
import { takeApart } from "./torch-quantized.ts";
import { tensorOpener } from "./torch-tensors.ts";
import { openZip, type Zip } from "./zip.ts";

/** A tensor's description takes about 100 bytes, so this is room for hundreds of thousands. */
const MAX_PICKLE_BYTES = 1 << 26;
/** Dicts in dicts: a training checkpoint has {"model": {…}}. */
const MAX_NESTING = 8;

const ZIP_MAGIC = [0x50, 0x4b, 0x03, 0x04];
/** A bare pickle: the format before PyTorch 1.6. */
const PICKLE_MAGIC = [0x80, 0x02];

const startsWith = (bytes: Uint8Array, magic: readonly number[]) =>
	magic.every((byte, i) => bytes[i] === byte);

export const torch: Format = {
	name: "torch",
	matches: (head) =>
		startsWith(head, ZIP_MAGIC) || startsWith(head, PICKLE_MAGIC),
	open: openTorch,
};

async function openTorch(source: ByteSource): Promise<Contents> {
	const head = await source.read(0, Math.min(4, source.size));
	if (startsWith(head, PICKLE_MAGIC)) {
		throw new UnsupportedError(
			`${source.name}: the torch.save format of before PyTorch 1.6, which is a bare pickle; load it with Python and save it again with torch.save of PyTorch 1.6 or later, or as safetensors`,
		);
	}
	const zip = await openZip(source);
	const root = rootFolder(zip, source.name);
	await checkByteOrder(zip, root, source.name);
	const entry = zip.entries.get(`${root}data.pkl`)!;
	const contents = unpickle(
		await zip.readWhole(entry, MAX_PICKLE_BYTES),
		torchHost(source.name),
	);
	if (!(contents instanceof Map)) {
		throw new CheckpointError(
			`${source.name}: holds ${show(contents)}, expected a dict of tensors`,
		);
	}
	const openTensor = tensorOpener(zip, root, source.name);
	const tensors = new Map<string, StoredTensor>();
	const metadata: Record<string, unknown> = Object.create(null);
	for (const [name, value] of leaves(contents)) {
		if (isTensor(value)) {
			add(tensors, openTensor(name, value));
		} else if (isQuantizedTensor(value)) {
			const { attributes, parts } = takeApart(value, `${source.name}: ${name}`);
			const stem = partName(name);
			for (const [part, tensor] of Object.entries(parts)) {
				add(tensors, openTensor(`${stem}_${part}`, tensor));
			}
			metadata[name] = attributes;
		} else if (value === null || typeof value !== "object") {
			// metadata is printed as JSON, which has no integers past 2^53
			metadata[name] = typeof value === "bigint" ? String(value) : value;
		}
	}
	if (tensors.size === 0) {
		throw new CheckpointError(
			`${source.name}: its dict of ${contents.size} entries holds no tensor`,
		);
	}
	return { tensors, metadata };
}

function rootFolder(zip: Zip, file: string): string {
	const pickles = [...zip.entries.keys()].filter((name) =>
		/^[^/]+\/data\.pkl$/.test(name),
	);
	const [pickle] = pickles;
	if (pickle === undefined || pickles.length > 1) {
		throw new CheckpointError(
			`${file}: ${pickles.length} records named <root>/data.pkl, expected one; the file is a ZIP archive but not what torch.save writes`,
		);
	}
	const root = pickle.slice(0, -"data.pkl".length);
	if (zip.entries.has(`${root}constants.pkl`)) {
		throw new UnsupportedError(
			`${file}: a TorchScript program; save the module's state_dict() instead`,
		);
	}
	return root;
}

async function checkByteOrder(zip: Zip, root: string, file: string) {
	const entry = zip.entries.get(`${root}byteorder`);
	if (entry === undefined) return;
	const order = new TextDecoder().decode(await zip.readWhole(entry, 16));
	if (order !== "little") {
		throw new UnsupportedError(
			`${file}: byte order ${show(order)}, expected "little"`,
		);
	}
}

/** The values of nested dicts with their dotted names. Each dict is entered once, so cycles and shared dicts end. */
function* leaves(
	root: ReadonlyMap<unknown, unknown>,
): Generator<[name: string, value: unknown]> {
	const seen = new Set<unknown>([root]);
	const open: [prefix: string, entries: Iterator<[unknown, unknown]>][] = [
		["", root.entries()],
	];
	for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
		const [prefix, entries] = level;
		const next = entries.next();
		if (next.done) {
			open.pop();
			continue;
		}
		const [key, value] = next.value;
		if (typeof key !== "string") continue;
		const name = prefix + key;
		if (!(value instanceof Map)) {
			yield [name, value];
		} else if (!seen.has(value) && open.length < MAX_NESTING) {
			seen.add(value);
			open.push([`${name}.`, value.entries()]);
		}
	}
}

function add(tensors: Map<string, StoredTensor>, tensor: StoredTensor) {
	if (tensors.has(tensor.name)) {
		throw new CheckpointError(
			`${tensor.file}: the tensor ${tensor.name} is there twice`,
		);
	}
	tensors.set(tensor.name, tensor);
}

/** "a.b.weight" → "a.b._weight", as torchao names the parts of a quantized tensor. */
function partName(name: string): string {
	const dot = name.lastIndexOf(".") + 1;
	return `${name.slice(0, dot)}_${name.slice(dot)}`;
}
