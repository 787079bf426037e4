/** `deno task bench bits`: what fewer bits of a target cost in perplexity and save in memory. Called by `bench.ts`. */
import type { Backend } from "../backend/backend.ts";
import { loadSuite } from "../data/suites.ts";
import { TargetDecoder } from "../decode/target.ts";
import {
  comparePerplexity,
  type PerplexityRow,
  readTexts,
  type TextLoss,
} from "../eval/perplexity.ts";
import type { Interval } from "../eval/stats.ts";
import { bytesOfValue } from "../graph/count.ts";
import { loadTarget } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";
import { formatTable } from "../report/table.ts";
import { encodePrompt } from "../text/chat.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Io } from "./command.ts";
import { Progress } from "./progress.ts";

/** A target in so many bits, on the texts of all suites. */
export interface BitsRow extends PerplexityRow {
  bits: Bits;
  bytes: number;
  texts: number;
  tokens: number;
}

/** Rows of 32, 8 and 4 bits over what suites ask: held-out texts that the target did not write. */
export async function benchBits(
  backend: Backend,
  { say, signal, target: folder, suite, count }: Pick<Io, "say" | "signal"> & {
    target: string;
    suite: string;
    count: number;
  },
): Promise<BitsRow[]> {
  const tokenizer = await loadTokenizer(folder), texts: Int32Array[] = [];
  for (const name of suite.split(",")) {
    const { questions } = await loadSuite(name, { count });
    texts.push(
      ...questions.map(({ text: content }) => encodePrompt(tokenizer, [{ role: "user", content }])),
    );
  }
  const rows: BitsRow[] = [];
  let base: TextLoss[] | undefined;
  for (const bits of [32, 8, 4] as const) {
    const loaded = await loadTarget(folder, { backend, bits });
    using target = new TargetDecoder(loaded, { backend });
    using progress = new Progress(`${bits} bits`);
    const losses: TextLoss[] = [];
    for await (const loss of readTexts(target, texts, { signal })) {
      losses.push(loss);
      progress.update(losses.length, { total: texts.length });
    }
    if (signal.aborted) return rows;
    base ??= losses;
    rows.push({
      bits,
      bytes: Object.values(loaded.weights).reduce((sum, t) => sum + bytesOfValue(t), 0),
      texts: losses.length,
      tokens: losses.reduce((sum, { tokens }) => sum + tokens, 0),
      ...comparePerplexity(losses, base),
    });
  }
  const range = ({ low, high }: Interval, digits: number) =>
    `[${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
  const { texts: read, tokens } = rows[0];
  say(formatTable([
    [`${read} texts, ${tokens} tokens`, "MB", "perplexity", "times that of 32 bits"],
    ...rows.map((r) => [
      `${r.bits} bits`,
      (r.bytes / 1e6).toFixed(1),
      `${r.perplexity.toFixed(2)} ${range(r.interval, 2)}`,
      r.bits === 32 ? "" : `${r.ratio.toFixed(4)} ${range(r.ratioInterval, 4)}`,
    ]),
  ]));
  return rows;
}
