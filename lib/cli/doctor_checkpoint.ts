/** `deno task doctor CHECKPOINT`: prints a checkup, with a target what fits, and converts if asked. */
import type { TensorSource } from "../io/safetensors.ts";
import { type Checkup, examine, type Finding, openChecked } from "../model/checkup.ts";
import { checkValues, type ValuesEvent } from "../model/checkup_values.ts";
import { FUSIONS, type TargetConfig, targetConfigOf } from "../model/config.ts";
import { convertDraft, obstacles } from "../model/convert_draft.ts";
import { convertTarget } from "../model/convert_target.ts";
import { hashWeights } from "../model/load.ts";
import { type ComparedTarget, compareSizes, compareValues } from "../model/target_fit.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";
import { Progress } from "./progress.ts";

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const millions = (count: number) => count >= 1e5 ? `${(count / 1e6).toFixed(1)} M` : `${count}`;

/** Runs a part of the checkup with a progress line, and gathers what it found. */
function gather(label: string, events: Iterable<ValuesEvent>): Finding[] {
  const found: Finding[] = [];
  using progress = new Progress(label);
  for (const { name, done, total, findings } of events) {
    progress.update(done, { total, note: name });
    found.push(...findings);
  }
  return found;
}

/** What is known as rows of a table. */
function summaryRows(checkup: Checkup): string[][] {
  const { name, why, parameters, values, bytes, dtypes, draft, target, like } = checkup;
  const config = draft ?? target;
  const rows = [["what", "found"], ["kind", name], ["because", why.join("; ")]];
  rows.push(["parameters", `${millions(parameters)} of ${millions(values)} values`]);
  rows.push(["bytes", megabytes(bytes)]);
  rows.push([
    "types",
    Object.entries(dtypes).map(([t, d]) => `${t}: ${d.tensors} tensors, ${megabytes(d.bytes)}`)
      .join("; "),
  ]);
  if (config === undefined) return rows;
  const { width, inner, heads, kvHeads, headSize, vocabulary } = config;
  const sizes = { width, inner, heads, "key heads": kvHeads, "head size": headSize, vocabulary };
  if (draft !== undefined) {
    const biases = draft.qkvBias ? "; biases of queries, keys and values" : "";
    rows.push(["design", `${FUSIONS[draft.fusion]}; head ${draft.head}${biases}`]);
  }
  rows.push(["sizes", Object.entries(sizes).map(([k, v]) => `${k} ${v}`).join(", ")]);
  if (draft?.draftVocabulary !== undefined) {
    rows.push(["draft vocabulary", `${draft.draftVocabulary} tokens`]);
    rows.push(["reads layers", checkup.tapsUnknown ?? draft.taps!.join(", ")]);
  }
  if (target !== undefined) rows.push(["family", `${target.family}, ${target.layers} layers`]);
  rows.push(["sizes are those of", like.join("; ") || "no well-known target"]);
  return rows;
}

/** A target, a folder or a GGUF file, to compare with. @throws when its configuration is missing or unknown. */
async function openTarget(path: string): Promise<{ config: TargetConfig; file: TensorSource }> {
  const { source: file, json, settings, trouble } = await openChecked(path);
  try {
    if (json === undefined) throw new Error(trouble ?? `Cannot read ${settings}: no such file`);
    return { config: targetConfigOf(json, settings), file };
  } catch (cause) {
    file[Symbol.dispose]();
    throw cause;
  }
}

/** Findings that are shown where not all are asked for. */
const SHOWN = 40;

const ORDER = ["fault", "doubt", "note"];

/** Prints what a checkpoint is and what is wrong with it. @throws when it cannot be read, or not be converted. */
export async function examineCheckpoint(
  path: string,
  { target: folder, convert, tensors, io: { say, result } }: {
    target?: string;
    convert?: string;
    tensors: boolean;
    io: Pick<Io, "say" | "result">;
  },
): Promise<void> {
  const against = folder === undefined ? undefined : await openTarget(folder);
  const config = against?.config;
  using file = against?.file;
  const opened = await openChecked(path);
  using source = opened.source;
  const checkup = examine(opened, { layers: config?.layers });
  const findings = [...checkup.findings, ...gather("values", checkValues(source, checkup))];
  const summary = summaryRows(checkup);
  let target: ComparedTarget | undefined;
  if (config !== undefined && file !== undefined && folder !== undefined) {
    if (checkup.kind === "draft") {
      // A hash reads all of the target: only where it is compared or written down. A GGUF file's is nobody's.
      const asked = checkup.draft?.target !== undefined || convert !== undefined;
      const hashed = asked && !folder.endsWith(".gguf");
      target = { folder, config, ...(hashed && { identity: await hashWeights(file.path) }) };
      const sizes = compareSizes(checkup, target);
      findings.push(...sizes);
      const fits = !sizes.some(({ level }) => level === "fault");
      summary.push(["fits the target", fits ? `${folder} ${target.identity ?? ""}`.trim() : "no"]);
      const events = compareValues({ source, checkup }, { file, config });
      findings.push(...gather("target", events));
    } else {
      const what = `it is compared with no target: it is ${checkup.name}`;
      findings.push({ level: "note", what });
    }
  } else if (checkup.tensors.some(({ role }) => role === "frozen")) {
    const what = "an embedding or LM head was not compared with the target's: --target does that";
    findings.push({ level: "note", what });
  }
  findings.sort((a, b) => ORDER.indexOf(a.level) - ORDER.indexOf(b.level));
  const refused = obstacles(checkup, findings);
  const sound = !findings.some(({ level }) => level === "fault");
  say(formatTable(summary));
  if (tensors) {
    const rows = checkup.tensors.map((t) => [
      ...[t.name, t.dtype, `[${t.shape}]`, t.role],
      t.ours === undefined || t.ours === t.name ? "" : t.ours,
    ]);
    say(`\n${formatTable([["tensor", "type", "shape", "role", "here called"], ...rows])}`);
  }
  if (findings.length > 0) {
    const shown = tensors ? findings : findings.slice(0, SHOWN);
    const rows = shown.map(({ level, tensor, what }) => [level, tensor ?? "", what]);
    say(`\n${formatTable([["level", "tensor", "finding"], ...rows])}`);
    const more = findings.length - shown.length;
    if (more > 0) say(`and ${more} more: --tensors shows them`);
  }
  const doubts = findings.filter(({ level }) => level === "doubt").length;
  const doubted = doubts === 0 ? "" : `, ${doubts} ${doubts === 1 ? "doubt" : "doubts"}`;
  say(`\n${sound ? "no faults" : "it cannot be used as it is"}${doubted}`);
  if (checkup.kind === "draft" || refused.length === 0) {
    const short = refused.length > 1 ? `${refused[0]}; and ${refused.length - 1} more` : refused[0];
    say(short === undefined ? "it can be converted" : `it cannot be converted: ${short}`);
  }
  if (convert !== undefined) {
    const { kind } = checkup, { json } = opened;
    if (kind === "target" && json !== undefined && refused.length === 0) {
      await convertTarget(convert, { source, json });
      say(
        `${convert}: put the original model's tokenizer.json and tokenizer_config.json beside it`,
      );
    } else await convertDraft(convert, { source, checkup, findings, target: target?.identity });
    say(`${convert}: a folder that every task reads as a ${kind}`);
    if (target !== undefined && target.identity === undefined) {
      say(`${convert}: it is tied to no target, since no task reads ${folder} as it is`);
    }
  }
  const { tapsUnknown: _, initializerRange: __, ...told } = checkup;
  result({ ...told, findings, sound, obstacles: refused, ...(convert && { converted: convert }) });
}
