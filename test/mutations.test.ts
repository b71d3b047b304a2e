import { containers } from "./damaged-containers.ts";
import { images } from "./damaged-images.ts";
import { models } from "./damaged-models.ts";
import { quantized } from "./damaged-weights.ts";
import { surviveDamage } from "./survive.ts";

// mutations.heavy.ts does the same more often.
surviveDamage("containers", containers, 1000);
surviveDamage("quantized weights", quantized, 100);
surviveDamage("models", models, 80);
surviveDamage("images", images, 100);
