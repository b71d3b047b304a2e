/**
 * Values as Python writes them. Chat templates are written for Jinja, where turning a dictionary into text gives
 * `{'type': 'function', 'strict': None}`, and models have been trained on that.
 */

/** A value inside the template interpreter, which tells 1 from 1.0 where JavaScript does not. */
export interface TemplateValue {
	readonly type: string;
	readonly value: unknown;
}

/** `str(value)` */
export function pythonStr(value: TemplateValue): string {
	switch (value.type) {
		case "StringValue":
			return value.value as string;
		case "UndefinedValue":
			return "";
		default:
			return pythonRepr(value);
	}
}

/** `repr(value)` */
function pythonRepr({ type, value }: TemplateValue): string {
	switch (type) {
		case "StringValue":
			return quote(value as string);
		case "IntegerValue":
			return BigInt(value as number).toString();
		case "FloatValue":
			return float(value as number);
		case "BooleanValue":
			return value ? "True" : "False";
		case "NullValue":
			return "None";
		case "ArrayValue":
			return `[${items(value)}]`;
		case "TupleValue": {
			const only = (value as readonly unknown[]).length === 1;
			return `(${items(value)}${only ? "," : ""})`;
		}
		case "ObjectValue": {
			const pairs = Array.from(
				value as Iterable<[string, TemplateValue]>,
				([key, item]) => `${quote(key)}: ${pythonRepr(item)}`,
			);
			return `{${pairs.join(", ")}}`;
		}
		default:
			return "";
	}
}

function items(values: unknown): string {
	return (values as readonly TemplateValue[]).map(pythonRepr).join(", ");
}

const ESCAPES: Readonly<Record<string, string>> = {
	"\\": "\\\\",
	"\n": "\\n",
	"\r": "\\r",
	"\t": "\\t",
};

function quote(text: string): string {
	const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
	// Python leaves what it considers printable: everything but separators other than the space, and category C.
	const body = text.replace(/[\\'"]|(?! )[\p{C}\p{Z}]/gu, (character) => {
		if (character === "'" || character === '"') {
			return character === mark ? `\\${character}` : character;
		}
		const known = ESCAPES[character];
		if (known !== undefined) return known;
		const code = character.codePointAt(0) as number;
		const hex = code.toString(16);
		if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
		return code <= 0xffff
			? `\\u${hex.padStart(4, "0")}`
			: `\\U${hex.padStart(8, "0")}`;
	});
	return mark + body + mark;
}

/** The shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on. */
function float(value: number): string {
	if (Number.isNaN(value)) return "nan";
	if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
	const [digits = "", power = "0"] = value.toExponential().split("e");
	const exponent = Number(power);
	if (value !== 0 && (exponent < -4 || exponent >= 16)) {
		const sign = exponent < 0 ? "-" : "+";
		return `${digits}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
	}
	const plain = Object.is(value, -0)
		? "-0"
		: exponent < 0
			? value.toFixed(digits.replace(/\D/g, "").length - 1 - exponent)
			: String(value);
	return plain.includes(".") ? plain : `${plain}.0`;
}
