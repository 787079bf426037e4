/**
 * The part of a checkup that reads values, one tensor at a time: damage, tensors that look untrained, tensors that are
 * copies of each other, and the tables of a draft vocabulary. Before it: `checkup.ts`.
 */
import type { TensorSource } from "../io/safetensors.ts";
import { type Checkup, type Finding, isReadable } from "./checkup.ts";
import { readDraftTokens } from "./draft_vocabulary.ts";
import { oddityOf, sumValues } from "./tensor_values.ts";

/** Progress and what it found. */
export interface ValuesEvent {
  type: "tensor";
  name: string;
  done: number;
  total: number;
  findings: Finding[];
}

/**
 * Are values the same, up to the rounding of 16-bit types? That is what becomes of a copy stored in another type:
 * 2^-8 of a value, and the smallest step of f16.
 */
export function sameValues(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((x, i) => nearlySame(x, b[i]));
}

/** The same for one value. */
export const nearlySame = (a: number, b: number): boolean =>
  Math.abs(a - b) <= Math.abs(b) / 256 + 6e-8;

/** Faults of `d2t` and `t2d`, if a draft has a vocabulary of its own. */
function checkTables(source: TensorSource, { draft }: Checkup): Finding[] {
  const { draftVocabulary, vocabulary } = draft!;
  let tokens: Int32Array;
  try {
    tokens = readDraftTokens(source, { vocabulary, draftVocabulary: draftVocabulary! });
  } catch (cause) {
    return [{ level: "fault", what: (cause as Error).message }];
  }
  if (!source.has("t2d")) return [];
  const marked = source.readInt("t2d"), named = new Set(tokens);
  const wrong = marked.findIndex((m, id) => (m !== 0) !== named.has(id));
  if (wrong < 0) return [];
  const what = `says ${marked[wrong] ? "yes" : "no"} to token ${wrong}, which d2t ${
    named.has(wrong) ? "names" : "does not name"
  }`;
  return [{ level: "fault", tensor: "t2d", what }];
}

/** Reads all tensors of floats once, and tells what is odd about each. */
export function* checkValues(source: TensorSource, checkup: Checkup): Generator<ValuesEvent> {
  const rows = checkup.tensors.filter((t) => isReadable(t) && t.role !== "unused");
  const { initializerRange, draft } = checkup, seen = new Map<string, string>();
  const total = rows.length;
  for (const [i, { name, shape, role }] of rows.entries()) {
    const values = source.readFloat32(name), findings: Finding[] = [];
    const sums = sumValues(values, shape.at(-1) ?? 1);
    const oddity = oddityOf(name, sums, { shape, initializerRange });
    // Frozen tensors are another model's: whether they look trained is not this one's matter.
    if (oddity !== undefined && (role !== "frozen" || oddity.level === "fault")) {
      findings.push({ ...oddity, tensor: name });
    }
    const sign = JSON.stringify([shape, sums.mean, sums.deviation, sums.kurtosis]);
    const twin = seen.get(sign);
    if (twin === undefined) seen.set(sign, name);
    else if (sums.deviation > 0 && sameValues(values, source.readFloat32(twin))) {
      findings.push({ level: "doubt", tensor: name, what: `has the same values as ${twin}` });
    }
    yield { type: "tensor", name, done: i + 1, total, findings };
  }
  const tables = checkup.findings.some(({ tensor, level }) =>
    level === "fault" && (tensor === "d2t" || tensor === "t2d")
  );
  if (draft?.draftVocabulary === undefined || tables) return;
  yield {
    ...{ type: "tensor", name: "d2t", done: total, total },
    findings: checkTables(source, checkup),
  };
}
