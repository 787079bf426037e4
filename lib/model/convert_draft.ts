/**
 * A draft of another format as a folder of ours (`config.json` and `model.safetensors`), which {@link readDraft} loads:
 * tensors renamed, their types and bits kept, read and written one at a time. What our graph does not compute is
 * refused. The embedding stays out: a draft here uses its target's.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { sizeOf } from "../graph/node.ts";
import { writeFileAtomic, writeFolderAtomic } from "../io/atomic.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { streamSafetensors, type TensorToStream } from "../io/safetensors_stream.ts";
import type { Checkup, Finding } from "./checkup.ts";
import { draftConfigJson } from "./config.ts";
import { draftShapes } from "./draft.ts";
import { foreignName } from "./draft_formats.ts";
import { readDraftTokens, vocabularyTables } from "./draft_vocabulary.ts";

/** Why a checkpoint cannot be converted, each reason one line; none if it can: a draft, or a target in GGUF. */
export function obstacles(checkup: Checkup, findings: readonly Finding[]): string[] {
  const { kind, name, tapsUnknown, path } = checkup;
  if (kind !== "draft" && !(kind === "target" && path.endsWith(".gguf"))) {
    return [`it is ${name}, wanted a draft, or a target in a GGUF file`];
  }
  const faults = findings.filter(({ level }) => level === "fault");
  return [
    ...faults.map(({ tensor, what }) => tensor === undefined ? what : `${tensor} ${what}`),
    ...tapsUnknown === undefined ? [] : [`${tapsUnknown}: wanted --target`],
  ];
}

/**
 * Writes the folder, as a whole or not at all.
 * @param target identity of the target it is for, if that was at hand: the folder then fits no other.
 * @throws naming all obstacles, or when `out` is there.
 */
export async function convertDraft(
  out: string,
  { source, checkup, findings, target }: {
    source: TensorSource;
    checkup: Checkup;
    findings: readonly Finding[];
    target?: string;
  },
): Promise<void> {
  const reasons = obstacles(checkup, findings), { draft, format, path } = checkup;
  if (reasons.length > 0 || draft === undefined || format === undefined) {
    throw new Error(`Cannot convert ${path}: ${reasons.join("; ")}`);
  }
  if (existsSync(out)) throw new Error(`Cannot write ${out}: it is there, wanted a new folder`);
  const tensors: Record<string, TensorToStream> = {};
  for (const [ours, shape] of Object.entries(draftShapes(draft))) {
    const name = foreignName(format, ours);
    if (!source.has(name)) { // a bias, or it had been an obstacle
      tensors[ours] = { shape, dtype: "F32", read: () => new Float32Array(sizeOf(shape)) };
      continue;
    }
    const { dtype } = source.info(name), narrow = dtype === "F16" || dtype === "BF16";
    // From 16 bits to 32 and back is exact; 64 bits are read as 32 here as everywhere.
    tensors[ours] = { shape, dtype: narrow ? dtype : "F32", read: () => source.readFloat32(name) };
  }
  const { vocabulary, draftVocabulary } = draft;
  if (draftVocabulary !== undefined) {
    const tokens = readDraftTokens(source, { vocabulary, draftVocabulary });
    for (const [name, { data, ...table }] of Object.entries(vocabularyTables(tokens, vocabulary))) {
      tensors[name] = { ...table, read: () => data };
    }
  }
  const config = { ...draft, ...(target !== undefined && { target }) };
  await writeFolderAtomic(out, async (folder) => {
    await streamSafetensors(join(folder, "model.safetensors"), tensors);
    const json = JSON.stringify(draftConfigJson(config), null, 2);
    await writeFileAtomic(join(folder, "config.json"), `${json}\n`);
  });
}
