/** A draft to begin with: random matrices of a deviation that keeps the size of what passes through them. */
import type { DraftConfig } from "../model/config.ts";
import { draftShapes } from "../model/draft.ts";
import type { Draft } from "../model/load.ts";
import { random } from "../random.ts";

/**
 * A fresh draft: matrices normal with deviation 1/sqrt(inner size), those that end in a residual 0.02 at
 * most, norms 1, biases 0. A draft vocabulary is given by its tokens.
 * @throws when the draft needs a vocabulary of another size.
 */
export function initialDraft(
  config: DraftConfig,
  { seed, tokens }: { seed: number; tokens?: Int32Array },
): Draft {
  if (tokens?.length !== config.draftVocabulary) {
    throw new Error(
      `Cannot begin a draft with a vocabulary of ${tokens?.length ?? "no"} tokens: wanted ${
        config.draftVocabulary ?? "none of its own"
      }`,
    );
  }
  const parameters = Object.fromEntries(
    Object.entries(draftShapes(config)).map(([name, shape]) => {
      const from = random(seed, "init", name), size = shape.reduce((a, b) => a * b, 1);
      if (shape.length === 1) {
        return [name, new Float32Array(size).fill(name.endsWith("bias") ? 0 : 1)];
      }
      const scale = shape[1] ** -0.5, closing = /down_proj|o_proj/.test(name);
      const deviation = closing ? Math.min(0.02, scale) : scale;
      return [name, Float32Array.from({ length: size }, () => deviation * from.normal())];
    }),
  );
  return { config, parameters, ...(tokens !== undefined && { tokens }) };
}
