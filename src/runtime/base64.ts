interface FromBase64 {
	fromBase64?(text: string): Uint8Array<ArrayBuffer>;
}

/** Bytes of a base64 text. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
	const native = (Uint8Array as FromBase64).fromBase64;
	if (native) return native.call(Uint8Array, text);
	const binary = atob(text);
	const bytes = new Uint8Array(binary.length);
	for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
	return bytes;
}
