/**
 * `deno task bench tree`: all sizes of trees simulated from a recording of each suite, then the best of them and the
 * tree that sizes itself decoded in turn. Called by `bench.ts`.
 */
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { measureCosts } from "../bench/costs.ts";
import {
  type Contender,
  type Decoded,
  decodeInTurn,
  fastest,
  nameOf,
  standings,
  SWEEP_GRID,
} from "../bench/tree.ts";
import { loadSuite, type Suite } from "../data/suites.ts";
import { NO_DRAFTER } from "../decode/drafter.ts";
import { dynamicGrowth } from "../decode/growth.ts";
import type { Costs } from "../decode/pricing.ts";
import { TargetDecoder } from "../decode/target.ts";
import type { Growth } from "../decode/tree.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import { autoGrowth } from "../decode/tree_size.ts";
import { tau, timeSplit, tokensPerSecond } from "../eval/metrics.ts";
import { recordDrafts, type Recording } from "../eval/recording.ts";
import { readRecording, recordingSubject, writeRecording } from "../eval/recording_file.ts";
import { countMisses, predict, simulate } from "../eval/simulate.ts";
import { sweep, type SweepRow } from "../eval/sweep.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { type Draft, loadTarget, readDraft } from "../model/load.ts";
import type { Environment } from "../report/environment.ts";
import { renderPage } from "../report/page.ts";
import { sweepPage } from "../report/sweep_page.ts";
import { formatTable } from "../report/table.ts";
import { encodePrompt } from "../text/chat.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Io, Values } from "./command.ts";
import { Progress } from "./progress.ts";

/** Options of `bench tree`; the folders are those of all benches. */
export const TREE_OPTIONS = {
  suite: {
    type: "string",
    default: "ours",
    describe: "ours, or a question file of EAGLE's format; several with commas (tree)",
  },
  count: { type: "integer", minimum: 1, default: 20, describe: "prompts of each suite (tree)" },
  tokens: { type: "integer", minimum: 2, default: 128, describe: "new tokens at most (tree)" },
  best: { type: "integer", minimum: 1, default: 8, describe: "best sizes to decode (tree)" },
  repetitions: {
    type: "integer",
    minimum: 1,
    default: 3,
    describe: "times that each prompt is decoded with each (tree)",
  },
  out: {
    type: "string",
    default: "runs/bench-tree",
    describe: "folder for recordings, tree.json and tree.html (tree)",
  },
} as const;

type TreeOptions = Values<typeof TREE_OPTIONS> & { target: string; draft: string };

/** Everything that does not change from suite to suite. */
interface Bench {
  backend: Backend;
  target: TargetDecoder;
  draft: Draft;
  costs: Costs;
  /** Rules without a size, by name; a new one for each use, since they learn. */
  rules: Record<string, () => Growth>;
  options: TreeOptions;
  say: (line: string) => void;
  signal: AbortSignal;
}

/** The recording of a suite's prompts, from its file if that holds the same. */
async function recordSuite(
  { backend, target, draft, options, say, signal }: Bench,
  { name, prompts }: { name: string; prompts: { id: string; ids: Int32Array }[] },
): Promise<Recording | undefined> {
  const { widths, depths } = SWEEP_GRID, depth = Math.max(...depths), { tokens } = options;
  const settings = { widths, depth, tokens };
  const subject = recordingSubject({ target: target.target, draft, prompts, settings });
  const path = join(options.out, `${name}.safetensors`);
  try {
    const known = readRecording(path, { subject });
    say(`${name}: recording from ${path}`);
    return known;
  } catch {
    // absent, or of something else: recorded below
  }
  using progress = new Progress(`${name}: recording`);
  const growths = widths.map((width) => dynamicGrowth({ depth, width, budget: 2 }));
  const recording: Recording = { branching: Math.max(...widths), depth, prompts: [] };
  const recorded = { draft, backend, growths, maxTokens: tokens, signal };
  for await (const prompt of recordDrafts(target, prompts, recorded)) {
    recording.prompts.push(prompt);
    progress.update(recording.prompts.length, { total: prompts.length });
  }
  if (signal.aborted) return undefined;
  await writeRecording(path, recording, { subject });
  return recording;
}

/** Decodes with the sizes predicted best, with the rules that need no size, and plainly. */
async function decodeBest(
  { backend, target, draft, rules, options, signal }: Bench,
  { name, prompts, best }: {
    name: string;
    prompts: readonly { ids: Int32Array }[];
    best: readonly SweepRow[];
  },
): Promise<{ decoded: Decoded[]; names: string[] }> {
  using resources = new DisposableStack();
  const contender = (name: string, growth: Growth): Contender => ({
    name,
    drafter: resources.use(new TreeDrafter(draft, { backend, target: target.target, growth })),
  });
  const contenders = [
    ...best.map((row) => contender(nameOf(row), dynamicGrowth(row, row))),
    ...Object.entries(rules).map(([name, make]) => contender(name, make())),
    { name: "plain", drafter: NO_DRAFTER },
  ];
  using progress = new Progress(`${name}: decoding`);
  const { repetitions, tokens: maxTokens } = options, ids = prompts.map((p) => p.ids);
  const decoded: Decoded[] = [], total = ids.length * contenders.length * repetitions;
  const settings = { prompts: ids, repetitions, maxTokens, signal };
  for await (const one of decodeInTurn(target, contenders, settings)) {
    progress.update(decoded.push(one), { total });
  }
  return { decoded, names: contenders.map((c) => c.name) };
}

/** What simulation says of rules of growth, and how much of what they ask was recorded. */
function simulateRules(
  rules: Record<string, Growth>,
  { recording, costs }: { recording: Recording; costs: Costs },
) {
  return Object.entries(rules).map(([name, growth]) => {
    const simulated = simulate(recording, growth);
    const predicted = simulated.map((one) => predict(one, costs));
    return {
      name,
      tau: tau(predicted).value,
      tokensPerSecond: tokensPerSecond(predicted).withoutPrefill,
      parts: timeSplit(predicted),
      misses: countMisses(simulated),
    };
  });
}

async function benchSuite(bench: Bench, { name, prompts }: {
  name: string;
  prompts: { id: string; ids: Int32Array }[];
}) {
  const { costs, options, rules, say, signal } = bench;
  const recording = await recordSuite(bench, { name, prompts });
  if (recording === undefined) return undefined;
  const rows = [...sweep(recording, { grid: SWEEP_GRID, costs })];
  const missed = Math.max(...rows.map((r) => r.missed));
  const best = fastest(rows, { count: options.best });
  const fixed = Object.fromEntries(best.map((row) => [nameOf(row), dynamicGrowth(row, row)]));
  const learning = Object.fromEntries(Object.entries(rules).map(([name, make]) => [name, make()]));
  const simulated = simulateRules({ ...fixed, ...learning }, { recording, costs });
  const { decoded, names } = await decodeBest(bench, { name, prompts, best });
  if (signal.aborted) return undefined;
  const { rows: standing, best: winner } = standings(decoded, {
    names,
    fixed: (name) => name in fixed,
  });
  const table = [
    [
      ...["tree", "tau", "simulated", "tokens/s", "predicted", "of the best", "low", "high"],
      ...["draft ms", "predicted", "verify ms", "predicted"],
    ],
    ...standing.map((row) => {
      const own = simulated.find(({ name }) => name === row.name), { parts } = row;
      const cell = (value: number | undefined, digits: number) => value?.toFixed(digits) ?? "-";
      return [
        row.name,
        cell(row.tau, 3),
        cell(own?.tau, 3),
        cell(row.tokensPerSecond, 1),
        cell(own?.tokensPerSecond, 1),
        ...[row.ratio, row.low, row.high].map((value) => cell(value, 3)),
        cell(parts.draftMs, 2),
        cell(own?.parts.draftMs, 2),
        cell(parts.verifyMs, 2),
        cell(own?.parts.verifyMs, 2),
      ];
    }),
  ];
  const share = (part: number, all: number) => `${part} of ${all}`;
  const text = `${rows.length} sizes simulated on ${prompts.length} prompts, ${missed} nodes not ` +
    `recorded. ` +
    simulated.filter(({ name }) => name in rules).map(({ name, misses }) =>
      `${name}: ${share(misses.nodes, misses.ofNodes)} nodes not recorded, in ` +
      `${share(misses.rounds, misses.ofRounds)} rounds.`
    ).join(" ");
  say(`\n${name}: ${text}\n${formatTable(table)}`);
  for (const rule of standing.filter((row) => row.name in rules)) {
    say(`${rule.name} has ${(100 * rule.ratio).toFixed(1)} % of the speed of ${winner}`);
  }
  return { suite: name, rows, decoded: table, text, standing, best: winner, simulated };
}

/** Runs the bench; returns its results, or nothing after an abort. */
export async function benchTree(
  backend: Backend,
  { say, signal, environment, ...options }: TreeOptions & Pick<Io, "say" | "signal"> & {
    environment: Environment;
  },
) {
  const suites: Suite[] = [];
  for (const name of options.suite.split(",")) {
    suites.push(await loadSuite(name, { count: options.count }));
  }
  const loaded = await loadTarget(options.target, { backend });
  const draft = await readDraft(options.draft, { target: loaded });
  const tokenizer = await loadTokenizer(options.target);
  using target = new TargetDecoder(loaded, { backend, taps: draft.config.taps });
  const { widths, budgets } = SWEEP_GRID, rows = Math.max(...widths);
  // Prompts are read in chunks, so reading is timed up to a whole one.
  const limits = { branching: rows, rows, depth: 63, budget: Math.max(...budgets) };
  const costs = await measureCosts({ backend, target, draft, ...limits });
  const names = ["read", "expand", "verify"] as const;
  say(formatTable([
    ["rows", ...costs.verify.map(([n]) => n)],
    ...names.map((name) => [
      `${name}, ms`,
      ...costs.verify.map((_, i) => costs[name][i]?.[1].toFixed(2) ?? ""),
    ]),
  ]));
  const rules = { auto: () => autoGrowth(costs) };
  const bench: Bench = { backend, target, draft, costs, rules, options, say, signal };
  const found = [];
  for (const { name, questions } of suites) {
    const prompts = questions.map(({ id, text }) => ({
      id,
      ids: encodePrompt(tokenizer, [{ role: "user", content: text }]),
    }));
    const one = await benchSuite(bench, { name, prompts });
    if (one === undefined) return undefined;
    found.push(one);
  }
  const { suite, count, tokens, best, repetitions, out } = options;
  const settings = { suite, count, tokens, best, repetitions };
  const report = { settings, environment, costs, suites: found };
  await writeFileAtomic(join(out, "tree.json"), `${JSON.stringify(report)}\n`);
  const page = await renderPage(sweepPage(found, { environment, settings }));
  await writeFileAtomic(join(out, "tree.html"), page);
  say(`\n${join(out, "tree.html")}`);
  return { costs, suites: found.map(({ rows: _, ...rest }) => rest) };
}
