import type { Rope } from "../engine/operands.ts";
import { CheckpointError, UnsupportedError } from "../errors.ts";
import type { Config } from "./config.ts";

/**
 * Rotary embedding settings of config.json: `rope_theta` with `rope_scaling`, or the newer `rope_parameters`.
 * The formulas are those of transformers/modeling_rope_utils.py, computed in float64 and rounded to float32 once.
 *
 * @param d head size
 * @param defaultTheta the model class's default base
 */
export function readRope(hf: Config, d: number, defaultTheta: number): Rope {
	const theta = hf.number("rope_theta", defaultTheta);
	const scaling = hf.section("rope_scaling") ?? hf.section("rope_parameters");
	return makeRope(hf, d, theta, scaling);
}

/**
 * One of several rotary settings of a model.
 *
 * @param hf what the model's own lengths are taken from
 * @param theta the base, unless `scaling` has one
 */
export function makeRope(
	hf: Config,
	d: number,
	theta: number,
	scaling: Config | undefined,
): Rope {
	if (d % 2 !== 0)
		throw new CheckpointError(
			`${hf.file}: head_dim is ${d}, expected an even number`,
		);
	const base = scaling?.number("rope_theta", theta) ?? theta;
	const type =
		scaling?.text("rope_type", scaling.text("type", "default")) ?? "default";
	const plain = (theta: number) =>
		Float64Array.from({ length: d / 2 }, (_, j) => theta ** ((-2 * j) / d));
	const fixed = (frequencies: Float64Array, attentionFactor = 1): Rope => {
		const rounded = Float32Array.from(frequencies);
		return { d, frequencies: () => rounded, attentionFactor, dynamic: false };
	};
	if (scaling === undefined || type === "default") return fixed(plain(base));

	const maximum = () => hf.number("max_position_embeddings");
	switch (type) {
		case "linear": {
			const factor = scaling.number("factor");
			return fixed(plain(base).map((f) => f / factor));
		}
		case "divisors": {
			const divisors = scaling.numbers("divisors");
			if (divisors?.length !== d / 2)
				throw new CheckpointError(
					`${scaling.file}: divisors have length ${divisors?.length}, expected ${d / 2}`,
				);
			return fixed(plain(base).map((f, j) => f / divisors[j]!));
		}
		case "llama3":
			return fixed(llama3(plain(base), scaling));
		case "yarn":
			return fixed(...yarn(plain(base), d, base, scaling, maximum));
		case "dynamic": {
			const factor = scaling.number("factor");
			const trained = maximum();
			const frequencies = (tokens: number) => {
				const n = Math.max(tokens, trained);
				const stretch = (factor * n) / trained - (factor - 1);
				return Float32Array.from(plain(base * stretch ** (d / (d - 2))));
			};
			return { d, frequencies, attentionFactor: 1, dynamic: true };
		}
		case "longrope":
			return longrope(plain(base), d, scaling, maximum());
		default:
			throw new UnsupportedError(
				`${scaling.file}: rope_type "${type}" is unknown, expected default, linear, dynamic, yarn, llama3 or longrope`,
			);
	}
}

/** Low frequencies are divided by `factor`, high ones kept, those in between blended by their wavelength. */
function llama3(plain: Float64Array, scaling: Config): Float64Array {
	const factor = scaling.number("factor");
	const low = scaling.number("low_freq_factor");
	const high = scaling.number("high_freq_factor");
	const trained = scaling.number("original_max_position_embeddings");
	return plain.map((f) => {
		const wavelength = (2 * Math.PI) / f;
		if (wavelength < trained / high) return f;
		if (wavelength > trained / low) return f / factor;
		const t = (trained / wavelength - low) / (high - low);
		return ((1 - t) * f) / factor + t * f;
	});
}

/** YaRN (arXiv:2309.00071): interpolates dimensions that turn slowly, keeps those that turn fast, and sharpens attention. */
function yarn(
	plain: Float64Array,
	d: number,
	base: number,
	scaling: Config,
	maximum: () => number,
): [Float64Array, number] {
	const trained =
		scaling.number("original_max_position_embeddings", 0) || maximum();
	const factor = scaling.number("factor", 0) || maximum() / trained;
	// A 0 counts as absent, as in the reference.
	const betaFast = scaling.number("beta_fast", 0) || 32;
	const betaSlow = scaling.number("beta_slow", 0) || 1;
	/** The dimension that turns `rotations` times within the trained context. */
	const dimension = (rotations: number) =>
		(d * Math.log(trained / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
	const truncate = scaling.flag("truncate", true);
	const low = Math.max(
		0,
		truncate ? Math.floor(dimension(betaFast)) : dimension(betaFast),
	);
	let high = Math.min(
		d - 1,
		truncate ? Math.ceil(dimension(betaSlow)) : dimension(betaSlow),
	);
	if (low === high) high += 0.001;
	const frequencies = plain.map((f, j) => {
		const ramp = Math.min(1, Math.max(0, (j - low) / (high - low)));
		return f * (ramp / factor + (1 - ramp));
	});
	const gain = (mscale: number) =>
		factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
	const mscale = scaling.number("mscale", 0);
	const mscaleAll = scaling.number("mscale_all_dim", 0);
	const implied =
		mscale && mscaleAll ? gain(mscale) / gain(mscaleAll) : gain(1);
	return [frequencies, scaling.number("attention_factor", implied)];
}

/** LongRoPE: a divisor per dimension, one list for short and one for long texts. */
function longrope(
	plain: Float64Array,
	d: number,
	scaling: Config,
	maximum: number,
): Rope {
	const trained = scaling.number("original_max_position_embeddings", maximum);
	const [short, long] = ["short_factor", "long_factor"].map((key) => {
		const factors = scaling.numbers(key);
		if (factors?.length !== d / 2)
			throw new CheckpointError(
				`${scaling.file}: ${key} has length ${factors?.length}, expected ${d / 2}`,
			);
		return Float32Array.from(plain.map((f, j) => f / factors[j]!));
	}) as [Float32Array, Float32Array];
	const factor = scaling.number("factor", maximum / trained);
	const implied =
		factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
	return {
		d,
		frequencies: (tokens) => (tokens > trained ? long : short),
		attentionFactor: scaling.number("attention_factor", implied),
		dynamic: true,
	};
}
