/** A trace for `deno task inspect`: its totals as tables, its rounds as a page. */
import { basename } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { formatTable } from "../report/table.ts";
import { readTrace } from "../report/trace.ts";
import { renderTracePage, type TokenTexts } from "../report/trace_page.ts";
import { generationRows, ratioRows, traceTotals } from "../report/trace_totals.ts";
import { loadTokenizer, streamDecoder, type Tokenizer } from "../text/tokenizer.ts";
import type { Io } from "./command.ts";

/** Texts of ids, special tokens included. */
function textsOf(tokenizer: Tokenizer): TokenTexts {
  const decode = (ids: ArrayLike<number>) => tokenizer.decode(ids, { special: true });
  return {
    token: (id) => decode([id]),
    pieces(ids) {
      const stream = streamDecoder({ decode });
      const pieces = ids.map((id) => stream.push([id]));
      // Bytes that never became a character belong to the last token.
      if (pieces.length > 0) pieces[pieces.length - 1] += stream.flush();
      return pieces;
    },
  };
}

/** Prints the totals and writes the page. */
export async function inspectTrace(
  path: string,
  { target, out = path.replace(/\.jsonl$/, ".html") }: { target?: string; out?: string },
  { say, result }: Io,
): Promise<void> {
  const trace = await readTrace(path), { generations, cutLine } = trace;
  if (generations.length === 0) {
    throw new Error(`Cannot inspect ${path}: found no generation, wanted one or more`);
  }
  const recorded = generations[0].start.settings.target;
  const folder = target ?? (typeof recorded === "string" ? recorded : "data/target");
  const texts = textsOf(await loadTokenizer(folder));
  const totals = traceTotals(generations),
    page = renderTracePage(trace, { name: basename(path), texts });
  await writeFileAtomic(out, page);
  if (cutLine !== undefined) say(`line ${cutLine} was cut off and is left out\n`);
  say(formatTable(generationRows(generations)));
  say(`\n${formatTable(ratioRows(totals))}`);
  const megabytes = (new TextEncoder().encode(page).length / 1e6).toFixed(1);
  say(`\npage: ${out} (${totals.rounds} rounds, ${megabytes} MB)`);
  result({ trace: path, page: out, cutLine, ...totals });
}
