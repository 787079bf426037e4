/** `deno task bench endurance`: memory of the process over thousands of decoded tokens. Called by `bench.ts`. */
import type { Backend } from "../backend/backend.ts";
import { type EnduranceRow, endure } from "../bench/endurance.ts";
import { knownCosts } from "../bench/costs.ts";
import { loadSuite } from "../data/suites.ts";
import { TargetDecoder } from "../decode/target.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import { autoGrowth } from "../decode/tree_size.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import { formatTable } from "../report/table.ts";
import { encodePrompt } from "../text/chat.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Io } from "./command.ts";

const TIMES = 10, PROMPTS = 40;
const mb = (bytes: number) => (bytes / 1e6).toFixed(1);

export async function benchEndurance(
  backend: Backend,
  { say, signal, target: folder, draft: trained, tokens: maxTokens, total }:
    & Pick<Io, "say" | "signal">
    & {
      target: string;
      draft: string;
      tokens: number;
      total: number;
    },
): Promise<EnduranceRow[]> {
  const loaded = await loadTarget(folder, { backend });
  const tokenizer = await loadTokenizer(folder);
  const draft = await readDraft(trained, { target: loaded });
  using target = new TargetDecoder(loaded, { backend, taps: draft.config.taps });
  const { costs } = await knownCosts({ backend, target, draft, children: "top", bits: 8 });
  using drafter = new TreeDrafter(draft, { backend, target: loaded, growth: autoGrowth(costs) });
  const suite = await loadSuite("ours", { count: PROMPTS });
  const prompts = suite.questions.map(({ text }) =>
    encodePrompt(tokenizer, [{ role: "user", content: text }])
  );
  const rows: EnduranceRow[] = [];
  for await (
    const row of endure(target, {
      prompts,
      drafter,
      total,
      every: total / TIMES,
      maxTokens,
      signal,
    })
  ) {
    rows.push(row);
    say(`${row.tokens} tokens: ${mb(row.resident)} MB resident`);
  }
  say(formatTable([
    ["tokens", "resident MB", "heap MB"],
    ...rows.map((r) => [r.tokens, mb(r.resident), mb(r.heap)]),
  ]));
  return rows;
}
