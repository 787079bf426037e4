/**
 * The vocabulary of a draft that has its own (EAGLE-3), as files have it: `d2t`, offsets by draft id (target id = draft
 * id + offset), and `t2d`, which of the target's tokens are in it.
 */
import type { TensorSource, TensorToWrite } from "../io/safetensors.ts";

/**
 * Target ids of a draft vocabulary; all of them where there is no table and the vocabularies are of one size.
 * @throws when the table is of another length, or its ids do not rise within the target's: drafting counts on that.
 */
export function readDraftTokens(
  source: TensorSource,
  { vocabulary, draftVocabulary }: { vocabulary: number; draftVocabulary: number },
): Int32Array {
  if (!source.has("d2t") && draftVocabulary === vocabulary) {
    return Int32Array.from({ length: vocabulary }, (_, i) => i);
  }
  const tokens = source.readInt("d2t").map((offset, id) => id + offset);
  const refuse = (what: string) => new Error(`Cannot use ${source.path}: d2t ${what}`);
  if (tokens.length !== draftVocabulary) {
    throw refuse(`has ${tokens.length} tokens, config.json wants ${draftVocabulary}`);
  }
  const at = tokens.findIndex((t, i) => t < 0 || t >= vocabulary || (i > 0 && t <= tokens[i - 1]));
  if (at < 0) return tokens;
  const before = at > 0 ? ` after ${tokens[at - 1]}` : "";
  throw refuse(
    `has target token ${tokens[at]} at ${at}${before}, wanted rising ones below ${vocabulary}`,
  );
}

/** The two tables of a vocabulary that is given by target ids. */
export function vocabularyTables(
  tokens: Int32Array,
  vocabulary: number,
): Record<"d2t" | "t2d", Required<TensorToWrite>> {
  const known = new Uint8Array(vocabulary);
  tokens.forEach((t) => known[t] = 1);
  const offsets = BigInt64Array.from(tokens, (t, i) => BigInt(t - i));
  return {
    d2t: { shape: [tokens.length], data: offsets, dtype: "I64" },
    t2d: { shape: [vocabulary], data: known, dtype: "BOOL" },
  };
}
