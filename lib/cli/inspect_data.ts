/** Training data for `deno task inspect`: what a folder holds, whether its masks are sound, one example's text. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  type Inspection,
  inspectMasks,
  inspectShards,
  promptEnding,
  readRows,
  type Rows,
} from "../data/inspect.ts";
import { formatTable } from "../report/table.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Io } from "./command.ts";

const BAR = 40;

/** A line a bin: its bar is as long as its share of the fullest. */
function histogram({ lengths }: Inspection): string {
  const most = Math.max(...lengths.map((l) => l.examples));
  return formatTable([
    ["tokens", "examples", ""],
    ...lengths.map(({ from, to, examples }) => [
      `${from}-${to - 1}`,
      examples,
      // At least one mark for what is there at all.
      "#".repeat(Math.ceil(BAR * examples / most)),
    ]),
  ]);
}

/** The text of all tokens, runs of trained rows between double brackets. */
function marked(
  { ids, mask }: Rows,
  decode: (ids: Int32Array) => string,
): string {
  let text = "";
  for (let start = 0, end = 0; start < ids.length; start = end) {
    while (end < ids.length && mask[end] === mask[start]) end++;
    const part = decode(ids.subarray(start, end));
    text += mask[start] === 1 ? `[[${part}]]` : part;
  }
  return text;
}

/** Counts, or one example of, the shards in a folder or in its `train` and `validation`. */
export async function inspectData(
  data: string,
  { target, example, set, step }: { target: string; example?: number; set: string; step: number },
  { say, result }: Io,
): Promise<void> {
  const inside = ["train", "validation"].filter((name) => existsSync(join(data, name)));
  const folders = inside.length > 0 ? inside.map((name) => join(data, name)) : [data];
  if (example !== undefined) {
    const folder = inside.length > 0 ? join(data, set) : data;
    const rows = await readRows(folder, example), tokenizer = await loadTokenizer(target);
    const decode = (id: number) => tokenizer.decode([id], { special: true });
    say(`example ${example} of ${folder}: ${rows.id}, ${rows.ids.length} tokens`);
    say(
      formatTable([
        ["row", "token", "trained", "reads after it", "learns to predict"],
        ...Array.from(rows.ids, (id, t) => [
          t,
          JSON.stringify(decode(id)),
          rows.mask[t] === 1 ? "yes" : "",
          ...[1, 2].map((n) =>
            rows.mask[t] === 1 && t + n < rows.ids.length
              ? JSON.stringify(decode(rows.ids[t + n]))
              : ""
          ),
        ]),
      ]),
    );
    const trained = Array.from(rows.mask, (m, t) => m === 1 ? t : -1).filter((t) => t >= 0);
    const whole = (ids: Int32Array) => tokenizer.decode(ids, { special: true });
    say(`\ntext, trained rows in [[ ]]:\n${marked(rows, whole)}`);
    result({ folder, example, id: rows.id, ids: [...rows.ids], trained });
    return;
  }
  const found = [], ending = promptEnding(await loadTokenizer(target));
  for (const folder of folders) {
    const counts = await inspectShards(folder, { lengthStep: step });
    const faults = await inspectMasks(folder, { ending });
    const { examples, tokens, trainedRows, of } = counts;
    say(
      formatTable([
        [folder, ""],
        ["target", of.target],
        ["width", of.width],
        ["shards", counts.shards],
        ["megabytes", (counts.bytes / 1e6).toFixed(1)],
        ["examples", examples],
        ["of them repeated", counts.repeated],
        ["tokens", tokens],
        ["trained rows", `${trainedRows} (${(100 * trainedRows / tokens).toFixed(1)} %)`],
      ]),
    );
    say(`\n${histogram(counts)}\n`);
    say(
      faults.length === 0
        ? "masks: sound (none empty, first trained row = last prompt token)"
        : `masks: ${faults.length} examples with faults`,
    );
    for (const { index, id, fault } of faults.slice(0, 10)) {
      say(`  example ${index} (${id}): ${fault}`);
    }
    if (faults.length === examples) say(`  is ${target} the model that made these data?`);
    found.push({ folder, ...counts, faults });
  }
  result({ sets: found });
}
