const DAYS = [
	"Sunday",
	"Monday",
	"Tuesday",
	"Wednesday",
	"Thursday",
	"Friday",
	"Saturday",
];

const MONTHS = [
	"January",
	"February",
	"March",
	"April",
	"May",
	"June",
	"July",
	"August",
	"September",
	"October",
	"November",
	"December",
];

const pad = (value: number, width = 2) => String(value).padStart(width, "0");

const FIELDS: Readonly<Record<string, (date: Date) => string>> = {
	a: (d) => (DAYS[d.getDay()] as string).slice(0, 3),
	A: (d) => DAYS[d.getDay()] as string,
	b: (d) => (MONTHS[d.getMonth()] as string).slice(0, 3),
	B: (d) => MONTHS[d.getMonth()] as string,
	d: (d) => pad(d.getDate()),
	e: (d) => String(d.getDate()).padStart(2, " "),
	f: (d) => pad(d.getMilliseconds() * 1000, 6),
	H: (d) => pad(d.getHours()),
	I: (d) => pad(d.getHours() % 12 || 12),
	j: (d) => pad(dayOfYear(d), 3),
	m: (d) => pad(d.getMonth() + 1),
	M: (d) => pad(d.getMinutes()),
	p: (d) => (d.getHours() < 12 ? "AM" : "PM"),
	S: (d) => pad(d.getSeconds()),
	u: (d) => String(d.getDay() || 7),
	w: (d) => String(d.getDay()),
	y: (d) => pad(d.getFullYear() % 100),
	Y: (d) => String(d.getFullYear()),
	c: (d) => strftime(d, "%a %b %e %H:%M:%S %Y"),
	D: (d) => strftime(d, "%m/%d/%y"),
	F: (d) => strftime(d, "%Y-%m-%d"),
	T: (d) => strftime(d, "%H:%M:%S"),
	x: (d) => strftime(d, "%m/%d/%y"),
	X: (d) => strftime(d, "%H:%M:%S"),
	"%": () => "%",
};

/**
 * Local time as Python's `strftime` writes it in the C locale, in English on every machine. `%-d` leaves out leading
 * zeros. Fields it does not know stay as they are.
 */
export function strftime(date: Date, format: string): string {
	return format.replace(/%(-?)([A-Za-z%])/g, (whole, bare, field) => {
		const text = FIELDS[field]?.(date);
		if (text === undefined) return whole;
		return bare ? text.replace(/^[0 ]+(?=.)/, "") : text;
	});
}

function dayOfYear(date: Date): number {
	const day = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
	return (day - Date.UTC(date.getFullYear(), 0, 0)) / 86_400_000;
}
