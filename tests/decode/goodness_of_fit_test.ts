/**
 * 20,000 sampled continuations of a prompt by the shipped target and draft against the target's exact distribution:
 * a G-test. Forwards of the target that repeat are looked up, all else runs: drafting, drawing, verifying.
 */
import assert from "node:assert/strict";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { speculateAll } from "../../lib/decode/batch.ts";
import { chainGrowth, dynamicGrowth } from "../../lib/decode/growth.ts";
import { processLogits, type Sampling } from "../../lib/decode/sample.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { chanceFrom } from "../../lib/decode/verify.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { loadTarget, readDraft } from "../../lib/model/load.ts";
import { random } from "../../lib/random.ts";

const DRAWS = 20000, FEW = 3000, LENGTH = 3;
const SAMPLING: Sampling = { temperature: 1, topK: 4, topP: 1 };
const PROMPT = Int32Array.of(4090, 100, 200, 300);

/** Survival function of the chi-squared distribution (Wilson and Hilferty's cube root, exact enough for tails). */
function chiSquaredTail(x: number, degrees: number): number {
  const v = 2 / (9 * degrees), z = (Math.cbrt(x / degrees) - (1 - v)) / Math.sqrt(v);
  // Complementary error function by its continued approximation (Abramowitz and Stegun 7.1.26).
  const t = 1 / (1 + 0.3275911 * Math.abs(z) / Math.SQRT2);
  const poly = t *
    (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const half = 0.5 * poly * Math.exp(-z * z / 2);
  return z > 0 ? half : 1 - half;
}

/** G = 2 sum observed ln(observed / expected) over cells that expect at least 5; the others are one cell. */
function gTest(observed: Map<string, number>, expected: Map<string, number>, draws = DRAWS) {
  const cells: [number, number][] = [];
  let rest: [number, number] = [0, 0];
  for (const [text, p] of expected) {
    const cell: [number, number] = [observed.get(text) ?? 0, p * draws];
    if (cell[1] >= 5) cells.push(cell);
    else rest = [rest[0] + cell[0], rest[1] + cell[1]];
  }
  if (rest[1] > 0) cells.push(rest);
  const g = 2 * cells.reduce((sum, [o, e]) => sum + (o > 0 ? o * Math.log(o / e) : 0), 0);
  return { g, cells: cells.length, p: chiSquaredTail(g, cells.length - 1) };
}

Deno.test("the tail of the chi-squared distribution at known points", () => {
  for (
    const [x, degrees, p] of [[3.841, 1, 0.05], [18.307, 10, 0.05], [92.010, 63, 0.01], [
      103.44,
      63,
      0.001,
    ]]
  ) {
    assert.ok(Math.abs(chiSquaredTail(x, degrees) - p) < 0.1 * p, `${x}, ${degrees}`);
  }
});

async function open() {
  const stack = new AsyncDisposableStack(), backend = stack.use(await openOnnxBackend());
  const loaded = await loadTarget("data/target", { backend });
  const target = stack.use(new TargetDecoder(loaded, { backend }));
  const draft = await readDraft("data/draft", { target: loaded });
  return { stack, backend, loaded, target, draft };
}

/** The target's own distribution of the first three tokens, each from the whole text before it. */
async function exact(target: TargetDecoder): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const after = async (tokens: readonly number[], probability: number): Promise<void> => {
    if (tokens.length === LENGTH) {
      found.set(tokens.join(" "), probability);
      return;
    }
    using cache = target.newCache();
    const p = new Float64Array(target.target.config.vocabulary);
    const { logits } = await target.prefill(Int32Array.of(...PROMPT, ...tokens), cache);
    processLogits(logits, SAMPLING, p);
    for (const [token, share] of p.entries()) {
      if (share > 0) await after([...tokens, token], probability * share);
    }
  };
  await after([], 1);
  return found;
}

/** Looks up the target's answers to what it was asked before; a cache is then only a length. */
function remember(target: TargetDecoder): void {
  const newCache = target.newCache.bind(target), empty = newCache();
  empty[Symbol.dispose] = () => {};
  target.newCache = () => {
    empty.length = 0;
    return empty;
  };
  const prefill = target.prefill.bind(target), forward = target.forwardTrees.bind(target);
  const prompts = new Map<string, Awaited<ReturnType<typeof prefill>>>();
  const trees = new Map<string, Awaited<ReturnType<typeof forward>>[number]>();
  target.prefill = async (ids, cache) => {
    const name = ids.join(" "), known = prompts.get(name);
    if (known === undefined) prompts.set(name, await prefill(ids, cache));
    else cache.length = ids.length;
    return prompts.get(name)!;
  };
  target.forwardTrees = async (parts) =>
    await Promise.all(parts.map(async ({ tree, cache }) => {
      assert.equal(cache.length, PROMPT.length, "a second round: the cache was not filled");
      const name = `${tree.tokens} ${tree.parents}`, known = trees.get(name);
      if (known !== undefined) return known;
      using own = newCache();
      await prefill(PROMPT, own);
      const [rows] = await forward([{ tree, cache: own }]);
      const kept = {
        logits: rows.logits.slice(),
        features: rows.features.slice(),
        tapped: rows.tapped,
      };
      trees.set(name, kept);
      return kept;
    }));
}

/** Counts of the first three tokens. What the first round did not emit is drawn from the exact distribution. */
async function draw(
  target: TargetDecoder,
  drafter: TreeDrafter,
  { exactly, draws = DRAWS }: { exactly: Map<string, number>; draws?: number },
): Promise<Map<string, number>> {
  const counts = new Map<string, number>(), stream = random(17, "goodness");
  // One cache for all: making twenty thousand takes longer than using them.
  const begin = drafter.begin.bind(drafter);
  const shared = begin({ first: PROMPT[0], sampling: SAMPLING, chance: chanceFrom(stream) });
  using cache = shared.cache;
  shared[Symbol.dispose] = () => {};
  drafter.begin = ({ first, chance }) => {
    cache.length = 0;
    return Object.assign(shared, { chance, text: [first] });
  };
  // Looked at after the prompt's token and after each round: a sequence ends after its first.
  let looks = 0;
  const signal = {
    get aborted() {
      return ++looks > 1;
    },
  } as AbortSignal;
  const prompts = Array.from({ length: draws }, () => PROMPT);
  const settings = { drafter, sampling: SAMPLING, maxTokens: LENGTH, signal };
  let tokens: number[] = [];
  for await (
    const { event } of speculateAll(target, prompts, {
      ...settings,
      random: () => stream,
    })
  ) {
    if (event.type !== "end") tokens.push(...event.tokens);
    else {
      while (tokens.length < LENGTH) tokens.push(drawNext(tokens, exactly, stream.uniform()));
      const text = tokens.join(" ");
      counts.set(text, (counts.get(text) ?? 0) + 1);
      tokens = [];
      looks = 0;
    }
  }
  return counts;
}

/** The token after `tokens` by the exact distribution. */
function drawNext(tokens: readonly number[], exactly: Map<string, number>, u: number): number {
  const prefix = `${tokens.join(" ")} `,
    open = [...exactly].filter(([text]) => text.startsWith(prefix));
  let left = u * open.reduce((sum, [, p]) => sum + p, 0);
  for (const [text, p] of open) {
    left -= p;
    if (left < 0) return Number(text.slice(prefix.length).split(" ")[0]);
  }
  return Number(open.at(-1)![0].slice(prefix.length).split(" ")[0]);
}

const CASES = {
  "sampled tokens": { growth: chainGrowth(2), children: "sampled" },
  "best tokens": { growth: dynamicGrowth({ depth: 2, width: 2, budget: 5 }), children: "top" },
} as const;

for (const [name, settings] of Object.entries(CASES)) {
  Deno.test(`${DRAWS} continuations follow the target's distribution: ${name}`, async () => {
    const { stack, backend, loaded, target, draft } = await open();
    await using _ = stack;
    const exactly = await exact(target);
    remember(target);
    using drafter = new TreeDrafter(draft, { backend, target: loaded, ...settings });
    const { g, cells, p } = gTest(await draw(target, drafter, { exactly }), exactly);
    assert.ok(cells > 30, `only ${cells} cells`);
    assert.ok(p > 1e-3, `G ${g} over ${cells} cells, p ${p}`);
  });
}

Deno.test("the same test rejects a draft that misstates what it drew from", async () => {
  const { stack, backend, loaded, target, draft } = await open();
  await using _ = stack;
  const exactly = await exact(target);
  remember(target);
  using drafter = new TreeDrafter(draft, { backend, target: loaded, ...CASES["sampled tokens"] });
  const propose = drafter.propose.bind(drafter);
  drafter.propose = async (requests) =>
    (await propose(requests)).map((proposal) => ({
      ...proposal,
      drafted(node: number) {
        // Its likeliest token with a half more than it was drawn with.
        const q = proposal.drafted!(node), best = q.indexOf(Math.max(...q));
        q[best] += 0.5;
        return q.map((x) => x / 1.5);
      },
    }));
  const { g, cells, p } = gTest(await draw(target, drafter, { exactly, draws: FEW }), exactly, FEW);
  assert.ok(p < 1e-6, `G ${g} over ${cells} cells, p ${p}: the fault went unseen`);
});
