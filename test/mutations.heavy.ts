import { containers } from "./damaged-containers.ts";
import { images } from "./damaged-images.ts";
import { models } from "./damaged-models.ts";
import { quantized } from "./damaged-weights.ts";
import { surviveDamage } from "./survive.ts";

const SEED = 0xfade;

surviveDamage("containers", containers, 20_000, SEED);
surviveDamage("quantized weights", quantized, 6000, SEED);
surviveDamage("models", models, 2000, SEED);
surviveDamage("images", images, 4000, SEED);
