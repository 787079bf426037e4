/**
 * What the parts of a decoding round cost here: forwards of the target and of the draft over each number of rows,
 * timed in the order in which rounds run them, since what the one leaves in the processor's caches the other finds.
 * Kept in a file for each machine, model and backend. Used by `lib/decode/tree_size.ts`.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { cpus, homedir } from "node:os";
import { join } from "node:path";
import type { Backend } from "../backend/backend.ts";
import { DraftDecoder } from "../decode/draft.ts";
import { checkCosts, type CostCurve, type Costs, smoothCurve } from "../decode/pricing.ts";
import { argmax } from "../decode/sample.ts";
import { sizesUpTo, type TargetDecoder } from "../decode/target.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJson } from "../io/json.ts";
import { featureWidth } from "../model/draft.ts";
import type { Draft } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";

/** What is timed. */
export interface CostQuestion {
  backend: Backend;
  target: TargetDecoder;
  draft: Draft;
  children?: "top" | "sampled";
  bits?: Bits;
  /** Children of a node, nodes of a level, levels, nodes verified: at most. */
  branching?: number;
  rows?: number;
  depth?: number;
  budget?: number;
  /** Timed runs of each size. */
  rounds?: number;
}

/** Tokens in the caches. */
const CONTEXT = 128;
/** Expansions of a round. */
const LEVELS = 4;

async function timed(run: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await run();
  return performance.now() - before;
}

/** The lower quartile: what else runs on the machine only ever adds time. */
function quietly(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 4)];
}

/** Measures the costs of a round. Takes some seconds; nothing else should run meanwhile. */
export async function measureCosts(
  {
    backend,
    target,
    draft,
    children,
    bits,
    branching = 4,
    rows = 8,
    depth = 10,
    budget = 64,
    rounds = 7,
  }: CostQuestion,
): Promise<Costs> {
  const { config } = draft, wide = featureWidth(config);
  using decoder = new DraftDecoder(draft, {
    backend,
    target: target.target,
    branching,
    treeRows: rows,
    children,
    bits,
  });
  using cache = target.newCache();
  using draftCache = decoder.newCache();
  const at = Math.min(CONTEXT, Math.max(1, target.target.config.positions - 2 * budget));
  const sizes = { read: sizesUpTo(depth + 1), expand: sizesUpTo(rows), verify: sizesUpTo(budget) };
  await decoder.prepare({ reading: sizes.read, expanding: sizes.expand });
  await target.prepare(sizes.verify);
  const reading = (n: number) => {
    draftCache.length = at;
    const ids = new Int32Array(n).fill(1);
    return decoder.read([{ ids, features: new Float32Array(n * wide), cache: draftCache }]);
  };
  const expanding = (n: number) =>
    decoder.expand([{
      frontier: {
        level: 1,
        candidates: [],
        counts: [],
        tokens: new Int32Array(n).fill(1),
        featureRows: new Int32Array(n),
        ancestors: Array.from({ length: n }, () => new Int32Array(0)),
      },
      features: new Float32Array(config.width),
      before: 0,
      cache: draftCache,
    }]);
  const verifying = (n: number) => {
    cache.length = at;
    // A chain: which nodes see which does not change the work.
    return target.forwardTree({
      tokens: new Int32Array(n).fill(1),
      parents: Int32Array.from({ length: n }, (_, i) => i - 1),
      scores: new Float32Array(n),
    }, cache);
  };
  const times = {
    read: sizes.read.map((): number[] => []),
    expand: sizes.expand.map((): number[] => []),
    verify: sizes.verify.map((): number[] => []),
  };
  const count = rounds * sizes.verify.length;
  for (let round = -2; round < count; round++) {
    const i = Math.max(0, round), pick = (name: keyof typeof sizes) => i % sizes[name].length;
    const read = await timed(() => reading(sizes.read[pick("read")]));
    const expand = await timed(async () => {
      for (let l = 0; l < LEVELS; l++) await expanding(sizes.expand[pick("expand")]);
    });
    const verify = await timed(() => verifying(sizes.verify[pick("verify")]));
    if (round < 0) continue; // the first run of a program is slower
    times.read[pick("read")].push(read);
    times.expand[pick("expand")].push(expand / LEVELS);
    times.verify[pick("verify")].push(verify);
  }
  const curve = (name: keyof typeof sizes): CostCurve =>
    smoothCurve(sizes[name].map((n, i) => [n, quietly(times[name][i])] as const));
  const { vocabulary } = target.target.config, logits = new Float32Array(4 * vocabulary);
  // A greedy round asks for the choice after the root and after each accepted node.
  const hosts: number[] = [];
  for (let round = 0; round < 50; round++) {
    const before = performance.now();
    for (let i = 0; i < 4; i++) argmax(logits, i * vocabulary, vocabulary);
    hosts.push(performance.now() - before);
  }
  return {
    read: curve("read"),
    expand: curve("expand"),
    verify: curve("verify"),
    host: quietly(hosts),
  };
}

/** Where measurements are kept: the user's cache folder. */
export function costsFolder(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") ??
    (Deno.build.os === "windows" ? Deno.env.get("LOCALAPPDATA") : undefined);
  return join(base ?? join(homedir(), ".cache"), "griffin-lab");
}

/** Costs that a run or a measurement has stored. @throws when the file holds none. */
export async function readCosts(path: string): Promise<Costs> {
  const { costs } = await readJson(path);
  if (costs === undefined) {
    throw new Error(`Cannot read costs from ${path}: it holds none; wanted an object with costs`);
  }
  checkCosts(costs as Costs);
  return costs as Costs;
}

/**
 * Costs from the file of this machine, model and backend, measured now if there is none or `again` is set.
 * `measured` tells which. A file that does not hold costs is measured again and replaced.
 */
export async function knownCosts(
  question: CostQuestion,
  { folder = costsFolder(), again = false }: { folder?: string; again?: boolean } = {},
): Promise<{ costs: Costs; path: string; measured: boolean }> {
  const { backend, target, draft, rounds: _, ...settings } = question;
  const processor = cpus();
  // Shapes decide, not values: a draft trained further costs the same.
  const subject = JSON.stringify([
    backend.name,
    processor[0]?.model,
    processor.length,
    target.target.config,
    draft.config,
    target.describe,
    settings,
  ]);
  const hash = createHash("sha256").update(subject).digest("hex").slice(0, 16);
  const path = join(folder, `costs-${hash}.json`);
  if (!again) {
    try {
      const { costs } = JSON.parse(await readFile(path, "utf8"));
      checkCosts(costs);
      return { costs, path, measured: false };
    } catch {
      // absent or unusable: measured below
    }
  }
  const costs = await measureCosts(question);
  await writeFileAtomic(path, `${JSON.stringify({ subject: JSON.parse(subject), costs })}\n`);
  return { costs, path, measured: true };
}
