/**
 * Recordings as files: one safetensors file, all prompts one after the other, and how long each part is. Written as
 * a whole or not at all. What the numbers mean: `recording.ts`.
 */
import { createHash } from "node:crypto";
import type { Draft, Target } from "../model/load.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../io/safetensors.ts";
import type { RecordedTree, Recording } from "./recording.ts";

const FORMAT = "griffin-recording-1";

/** What is written of each prompt beside numbers of tensors. */
interface PromptEntry {
  id: string;
  promptTokens: number;
  emitted: number;
  /** Tokens of the text, with those after the end. */
  length: number;
}

/** What the file's metadata hold. */
interface Entry {
  branching: number;
  depth: number;
  /** What was recorded, in the caller's words. */
  subject: string;
  prompts: PromptEntry[];
}

/** Tells recordings apart: target, draft and its weights, prompts, and settings in the caller's words. */
export function recordingSubject(
  { target, draft, prompts, settings }: {
    target: Pick<Target, "identity" | "bits">;
    draft: Draft;
    prompts: readonly { ids: Int32Array }[];
    settings: Record<string, unknown>;
  },
): string {
  const digest = (arrays: Iterable<Float32Array | Int32Array>) => {
    const hash = createHash("sha256");
    for (const { buffer, byteOffset, byteLength } of arrays) {
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
      hash.update(" ");
    }
    return hash.digest("hex").slice(0, 16);
  };
  return JSON.stringify({
    target: target.identity,
    ...(target.bits !== undefined && target.bits !== 32 && { targetBits: target.bits }),
    draft: [draft.config, digest(Object.values(draft.parameters))],
    prompts: digest(prompts.map((p) => p.ids)),
    ...settings,
  });
}

function joined<A extends Int32Array | Float32Array>(
  parts: readonly A[],
  { into }: { into: (length: number) => A },
): TensorToWrite {
  const data = into(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { shape: [data.length], data };
}

const ints = (parts: readonly Int32Array[]) =>
  joined(parts, { into: (length) => new Int32Array(length) });
const floats = (parts: readonly Float32Array[]) =>
  joined(parts, { into: (length) => new Float32Array(length) });

/** Writes a recording. `subject` says of what, and must be given again to read it. */
export async function writeRecording(
  path: string,
  { branching, depth, prompts }: Recording,
  { subject }: { subject: string },
): Promise<void> {
  const trees = prompts.flatMap((p) => p.trees);
  const entry: Entry = {
    branching,
    depth,
    subject,
    prompts: prompts.map(({ id, promptTokens, emitted, text }) => ({
      id,
      promptTokens,
      emitted,
      length: text.length,
    })),
  };
  await writeSafetensors(path, {
    texts: ints(prompts.map((p) => p.text)),
    rows: ints(trees.map((t) => Int32Array.of(t.expanded.length))),
    expanded: ints(trees.map((t) => t.expanded)),
    tokens: ints(trees.map((t) => t.tokens)),
    log_probabilities: floats(trees.map((t) => t.logProbabilities)),
  }, { metadata: { format: FORMAT, recording: JSON.stringify(entry) } });
}

/** Reads a recording. @throws when the file is of another kind, of another subject, or its parts do not fit. */
export function readRecording(path: string, { subject }: { subject: string }): Recording {
  using file = openSafetensors(path);
  const { format, recording } = file.metadata;
  if (format !== FORMAT) {
    throw new Error(`Cannot read ${path}: its format is ${format}, wanted ${FORMAT}`);
  }
  const entry: Entry = JSON.parse(recording), { branching, depth } = entry;
  if (entry.subject !== subject) {
    throw new Error(`Cannot use ${path}: it records ${entry.subject}, wanted ${subject}`);
  }
  const texts = file.readInt("texts"), rows = file.readInt("rows");
  const expanded = file.readInt("expanded"), tokens = file.readInt("tokens");
  const logProbabilities = file.readFloat32("log_probabilities");
  let tree = 0, row = 0, text = 0;
  const nextTree = (): RecordedTree => {
    const from = row, to = row += rows[tree++];
    return {
      expanded: expanded.subarray(from, to),
      tokens: tokens.subarray(from * branching, to * branching),
      logProbabilities: logProbabilities.subarray(from * branching, to * branching),
    };
  };
  const prompts = entry.prompts.map(({ id, promptTokens, emitted, length }) => ({
    id,
    promptTokens,
    emitted,
    text: texts.subarray(text, text += length),
    trees: Array.from({ length: Math.max(0, emitted - 1) }, nextTree),
  }));
  const held = [texts.length, rows.length, expanded.length, tokens.length, logProbabilities.length];
  const told = [text, tree, row, row * branching, row * branching];
  if (`${held}` !== `${told}`) {
    throw new Error(`Cannot read ${path}: it holds ${held} values, its prompts tell of ${told}`);
  }
  return { branching, depth, prompts };
}
