/**
 * Does a draft fit a target? Sizes, layers, identity, and by values: whether what it shares with the target is the
 * target's, and whether what it should have learnt is still a copy of it. Both are read one tensor at a time.
 */
import { sameShape } from "../graph/node.ts";
import type { TensorSource } from "../io/safetensors.ts";
import type { Checkup, Finding } from "./checkup.ts";
import { nearlySame, sameValues, type ValuesEvent } from "./checkup_values.ts";
import type { DecoderConfig } from "./config.ts";
import { readDraftTokens } from "./draft_vocabulary.ts";
import type { TargetIdentity } from "./load.ts";

/** Sizes that a draft may have of its own, and what a difference means. */
const OWN: readonly (readonly [key: keyof DecoderConfig, called: string])[] = [
  ["heads", "heads"],
  ["kvHeads", "key heads"],
  ["headSize", "head size"],
  ["ropeTheta", "base of the angles"],
  ["epsilon", "epsilon of norms"],
];

/** A target to compare with; a GGUF file has no identity, which is that of the folder made of it. */
export type ComparedTarget = Omit<TargetIdentity, "identity"> & { identity?: string };

/** What configurations tell: whether the draft can be used with the target at all. */
export function compareSizes(
  { draft, tapsUnknown }: Checkup,
  { config, identity, folder }: ComparedTarget,
): Finding[] {
  if (draft === undefined) return [];
  const findings: Finding[] = [];
  for (const [key, called] of [["width", "width"], ["vocabulary", "vocabulary"]] as const) {
    if (draft[key] === config[key]) continue;
    const what = `its ${called} is ${draft[key]}, that of target ${folder} ${config[key]}`;
    findings.push({ level: "fault", what });
  }
  for (const [key, called] of OWN) {
    if (draft[key] === config[key]) continue;
    const what = `its ${called}: ${draft[key]}; the target's: ${config[key]}. Both may be right`;
    findings.push({ level: "note", what });
  }
  const deepest = Math.max(...draft.taps ?? []);
  if (tapsUnknown === undefined && deepest >= config.layers) {
    const what = `it reads layer ${deepest}, target ${folder} has ${config.layers}`;
    findings.push({ level: "fault", what });
  }
  if (draft.target !== undefined && identity === undefined) {
    const what = `it was trained for target ${draft.target}: whether that is ${folder} is not ` +
      "known, a folder made of it by --convert would tell";
    findings.push({ level: "note", what });
  } else if (draft.target !== undefined && draft.target !== identity) {
    const what = `it was trained for target ${draft.target}, ${folder} is ${identity}`;
    findings.push({ level: "fault", what });
  }
  return findings;
}

/** Rows of two matrices [N, width] that differ. */
function differingRows(a: Float32Array, b: Float32Array, width: number): number {
  let rows = 0;
  for (let at = 0; at < a.length; at += width) {
    for (let i = at; i < at + width; i++) {
      if (nearlySame(a[i], b[i])) continue;
      rows++;
      break;
    }
  }
  return rows;
}

/** Compares a matrix that draft and target share. */
function compareShared(
  name: string,
  { own, theirs, width, target }: {
    own: Float32Array;
    theirs: Float32Array;
    width: number;
    target: string;
  },
): Finding {
  const rows = differingRows(own, theirs, width), all = own.length / width;
  if (rows === 0) return { level: "note", tensor: name, what: `is the target's ${target}` };
  const what =
    `differs from the target's ${target} in ${rows} of ${all} rows; the target's is used`;
  return { level: "fault", tensor: name, what };
}

/** The target's name of what corresponds to a draft's tensor, with `N` for its layer. */
const inTarget = (ours: string): string =>
  ours.replace(/^(midlayer|layers\.0)\./, "model.layers.N.").replace(/^norm\./, "model.norm.");

/** The type of a target's matrix that holds its values rounded to a few bits: no copy is seen in it. */
const roundedType = (file: TensorSource, name: string): string | undefined =>
  [file.info(name).dtype].find((dtype) => dtype.startsWith("Q"));

/**
 * What values tell. Tensors of shapes that differ are left out: {@link compareSizes} told; those that the target holds
 * rounded are told as not compared.
 */
export function* compareValues(
  { source, checkup }: { source: TensorSource; checkup: Checkup },
  { file, config }: { file: TensorSource; config: TargetIdentity["config"] },
): Generator<ValuesEvent> {
  const { draft, tensors } = checkup,
    head = config.tied ? "model.embed_tokens.weight" : "lm_head.weight";
  if (draft === undefined || draft.width !== config.width) return;
  const uncompared = new Set<string>();
  const rows = tensors.filter(({ role, ours }) =>
    role === "frozen" || ours === "lm_head.weight" ||
    (ours !== undefined && inTarget(ours) !== ours)
  );
  for (const [i, { name, shape, role, ours }] of rows.entries()) {
    const findings: Finding[] = [], own = source.readFloat32(name), width = config.width;
    if (role === "frozen") {
      const target = name.startsWith("embed") ? "model.embed_tokens.weight" : head;
      const rounded = roundedType(file, target);
      if (rounded !== undefined) {
        const what = `was not compared: the target holds its ${target} rounded, in ${rounded}`;
        findings.push({ level: "note", tensor: name, what });
      } else if (sameShape(shape, file.info(target).shape)) {
        const theirs = file.readFloat32(target);
        findings.push(compareShared(name, { own, theirs, width, target }));
      }
    } else if (ours === "lm_head.weight" && draft.vocabulary === config.vocabulary) {
      if (roundedType(file, head) !== undefined) uncompared.add(name);
      else if (isRowsOf(own, { source, draft, head: () => file.readFloat32(head) })) {
        const what = `is the target's ${head} at its tokens: as if not trained`;
        findings.push({ level: "doubt", tensor: name, what });
      }
    } else {
      const like = inTarget(ours!), layers = like.includes("N") ? config.layers : 1;
      for (let n = 0; n < layers; n++) {
        const target = like.replace("N", `${n}`);
        if (!file.has(target) || !sameShape(shape, file.info(target).shape)) continue;
        if (roundedType(file, target) !== undefined) {
          uncompared.add(name);
          continue;
        }
        if (own.every((x) => x === own[0]) || !sameValues(own, file.readFloat32(target))) continue;
        const what = `has the values of the target's ${target}: as if not trained`;
        findings.push({ level: "doubt", tensor: name, what });
      }
    }
    if (i + 1 === rows.length && uncompared.size > 0) {
      const what =
        `whether ${uncompared.size} of its tensors are still copies of the target's was ` +
        "not asked: the target holds those rounded";
      findings.push({ level: "note", what });
    }
    yield { type: "tensor", name, done: i + 1, total: rows.length, findings };
  }
}

/** Is an LM head [Vd, D] the target's at the tokens of the draft's vocabulary? */
function isRowsOf(
  own: Float32Array,
  { source, draft, head }: {
    source: TensorSource;
    draft: NonNullable<Checkup["draft"]>;
    head: () => Float32Array;
  },
): boolean {
  const { vocabulary, draftVocabulary = 0, width } = draft;
  let tokens: Int32Array;
  try {
    tokens = readDraftTokens(source, { vocabulary, draftVocabulary });
  } catch {
    return false; // told by the check of the tables
  }
  if (tokens.length * width !== own.length) return false; // told by the shapes
  const theirs = head();
  return tokens.every((t, i) =>
    sameValues(
      own.subarray(i * width, (i + 1) * width),
      theirs.subarray(t * width, (t + 1) * width),
    )
  );
}
