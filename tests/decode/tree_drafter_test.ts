/**
 * A draft that proposes trees: its trees against a plain search that reads every path from its beginning, the
 * cache between calls, several sequences at a time, and what is refused.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import type { Tree } from "../../lib/decode/ancestry.ts";
import { chainGrowth, dynamicGrowth, type TreeShape } from "../../lib/decode/growth.ts";
import { GREEDY } from "../../lib/decode/sample.ts";
import type { Growth } from "../../lib/decode/tree.ts";
import { TreeDrafter } from "../../lib/decode/tree_drafter.ts";
import { random } from "../../lib/random.ts";
import { logSoftmax, naiveDraft, times } from "../model/naive.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";
import type { Bits } from "../../lib/model/quantize.ts";

const CONFIG = tinyDraftConfig();

interface Rows {
  ids: Int32Array;
  features: Float32Array;
}

function someRows(length: number, name: string): Rows {
  const from = random(14, name), d = CONFIG.width;
  return {
    ids: Int32Array.from({ length }, () => from.integer(CONFIG.vocabulary)),
    features: Float32Array.from({ length: length * d }, () => from.normal()),
  };
}

/** All rows so far as the naive draft takes them. */
function joined(calls: Rows[]): { id: number; feature: number[] }[] {
  const d = CONFIG.width;
  return calls.flatMap(({ ids, features }) =>
    Array.from(ids, (id, t) => ({ id, feature: Array.from(features.subarray(t * d, (t + 1) * d)) }))
  );
}

/** The dynamic tree by its definition: every node's path is read again from the first row. */
function searched(calls: Rows[], { depth, width, budget }: TreeShape): Tree {
  const host = tinyTarget(referenceBackend()).weights;
  const all: Record<string, ArrayLike<number>> = {
    ...tinyDraft(CONFIG).parameters,
    "embed_tokens.weight": host["model.embed_tokens.weight"].host!,
  };
  interface Candidate {
    rows: { id: number; feature: number[] }[];
    token: number;
    score: number;
    parent: Candidate | undefined;
    order: number;
  }
  const made: Candidate[] = [];
  const expand = (rows: Candidate["rows"], parent: Candidate | undefined) => {
    const last = naiveDraft(CONFIG, (name) => all[name], rows).at(-1)!;
    const logs = logSoftmax(times(host["lm_head.weight"].host!, last.predict));
    const best = [...logs.keys()].sort((a, b) => logs[b] - logs[a]).slice(0, width);
    return best.map((token): Candidate => {
      const child = {
        rows: [...rows, { id: token, feature: last.regress }],
        token,
        score: (parent?.score ?? 0) + logs[token],
        parent,
        order: made.length,
      };
      made.push(child);
      return child;
    });
  };
  const top = (list: Candidate[], n: number) =>
    [...list].sort((a, b) => b.score - a.score).slice(0, n);
  let frontier = expand(joined(calls), undefined);
  for (let level = 1; level < depth; level++) {
    frontier = top(frontier.flatMap((node) => expand(node.rows, node)), width);
  }
  const kept = top(made, budget - 1).sort((a, b) => a.order - b.order);
  const place = new Map(kept.map((c, i) => [c, i + 1]));
  return {
    tokens: Int32Array.of(calls.at(-1)!.ids.at(-1)!, ...kept.map((c) => c.token)),
    parents: Int32Array.of(
      -1,
      ...kept.map((c) => c.parent === undefined ? 0 : place.get(c.parent)!),
    ),
    scores: Float32Array.of(0, ...kept.map((c) => c.score)),
  };
}

function assertTree(found: Tree, wanted: Tree, what: string): void {
  assert.deepEqual(found.tokens, wanted.tokens, `${what}: tokens`);
  assert.deepEqual(found.parents, wanted.parents, `${what}: parents`);
  found.scores.forEach((score, i) => {
    assert.ok(Math.abs(score - wanted.scores[i]) < 1e-3, `${what}: score ${i}`);
  });
}

const SHAPES: TreeShape[] = [
  { depth: 1, width: 4, budget: 5 },
  { depth: 3, width: 1, budget: 4 },
  { depth: 3, width: 2, budget: 6 },
  { depth: 4, width: 3, budget: 12 },
  { depth: 5, width: 5, budget: 30 },
];

for (const shape of SHAPES) {
  const { depth, width, budget } = shape;
  Deno.test(`a tree ${budget}/${depth}/${width} is the one a plain search finds`, async () => {
    using backend = await openOnnxBackend({ threads: 1 });
    using drafter = drafterOf(backend, dynamicGrowth(shape), 32);
    using drafting = drafter.begin(BEGINNING);
    const calls: Rows[] = [];
    // A prompt, three accepted rows, one accepted row.
    for (const length of [9, 3, 1]) {
      const rows = someRows(length, `call of ${length}`);
      calls.push(rows);
      const [{ tree }] = await drafter.propose([{ drafting, news: rows }]);
      assertTree(tree, searched(calls, shape), `after ${length} rows`);
    }
    assert.equal(drafting.cache.length, 13);
  });
}

Deno.test("prompts longer than a chunk are read whole", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const shape = { depth: 2, width: 2, budget: 4 };
  using drafter = drafterOf(backend, dynamicGrowth(shape), 32);
  for (const length of [64, 65, 80]) {
    using drafting = drafter.begin(BEGINNING);
    const rows = someRows(length, "long");
    const [{ tree }] = await drafter.propose([{ drafting, news: rows }]);
    assertTree(tree, searched([rows], shape), `${length} rows`);
    assert.equal(drafting.cache.length, length);
  }
});

Deno.test("several sequences at a time get the trees that each gets alone", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const shape = { depth: 4, width: 3, budget: 12 }, lengths = [3, 70, 11];
  using drafter = drafterOf(backend, dynamicGrowth(shape), 32, 3);
  const draftings = lengths.map(() => drafter.begin(BEGINNING));
  for (const call of ["prompt", "second"]) {
    const news = lengths.map((n) => someRows(call === "prompt" ? n : 1 + n % 4, `${call} ${n}`));
    // The last sequence has ended in the second call.
    const open = call === "prompt" ? 3 : 2;
    const proposals = await drafter.propose(
      draftings.slice(0, open).map((drafting, i) => ({ drafting, news: news[i] })),
    );
    for (const [i, { tree }] of proposals.entries()) {
      const all = call === "prompt"
        ? [news[i]]
        : [someRows(lengths[i], `prompt ${lengths[i]}`), news[i]];
      assertTree(tree, searched(all, shape), `${call}, sequence ${i}`);
    }
  }
  assert.deepEqual(draftings.map(({ cache }) => cache.length), [7, 73, 11]);
  for (const drafting of draftings) drafting[Symbol.dispose]();
});

Deno.test("a minimum score ends growth early and keeps the best candidate", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const shape = { depth: 6, width: 2, budget: 20 }, rows = someRows(5, "minimum");
  const sizes: number[] = [];
  for (const minimumScore of [undefined, -1e-6]) {
    using drafter = drafterOf(backend, dynamicGrowth(shape, { minimumScore }));
    using drafting = drafter.begin(BEGINNING);
    const [{ tree }] = await drafter.propose([{ drafting, news: rows }]);
    sizes.push(tree.tokens.length);
  }
  assert.ok(sizes[0] > 10);
  assert.equal(sizes[1], 2);
});

const BEGINNING = { first: 0, sampling: GREEDY };

function drafterOf(
  backend: Backend,
  growth: Growth,
  bits: Bits = 8,
  sequences = 1,
): TreeDrafter {
  const target = tinyTarget(backend);
  return new TreeDrafter(tinyDraft(CONFIG), { backend, target, growth, bits, sequences });
}

Deno.test("what cannot be drafted is refused before anything runs", () => {
  const backend = referenceBackend(), target = tinyTarget(backend), draft = tinyDraft(CONFIG);
  const sampled = (growth: Growth) =>
    new TreeDrafter(draft, { backend, target, growth, children: "sampled" });
  const shape = { depth: 3, width: 3, budget: 8 };
  assert.throws(() => sampled(dynamicGrowth(shape)), /keeps nodes by their scores: wanted a chain/);
  using chain = sampled(chainGrowth(2));
  assert.throws(() => chain.begin(BEGINNING), /sample the children of a tree at temperature 0/);
  assert.throws(
    () => drafterOf(backend, dynamicGrowth({ ...shape, width: 25 })),
    /draft 25 children of a node: the draft knows 24 tokens/,
  );
});

Deno.test("features that do not fit the ids are refused", async () => {
  using drafter = drafterOf(referenceBackend(), dynamicGrowth({ depth: 2, width: 3, budget: 4 }));
  using drafting = drafter.begin(BEGINNING);
  const { ids, features } = someRows(3, "odd");
  const refused = (news: Rows, message: RegExp) =>
    assert.rejects(drafter.propose([{ drafting, news }]), message);
  await refused({ ids, features: features.subarray(1) }, /from 3 tokens and 95 feature values/);
  await refused({ ids: ids.subarray(0, 0), features: features.subarray(0, 0) }, /from 0 tokens/);
  assert.equal(drafting.cache.length, 0);
});

Deno.test("the deepest tree at the last position stays inside the cache", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  for (const width of [1, 5]) {
    using drafter = drafterOf(backend, dynamicGrowth({ depth: 17, width, budget: 18 }));
    using drafting = drafter.begin(BEGINNING);
    const news = someRows(CONFIG.positions, "full");
    const before = drafting.cache.tensors["keys.0"].shape[2];
    const [{ tree }] = await drafter.propose([{ drafting, news }]);
    assert.equal(tree.tokens.length, 18);
    assert.ok(tree.scores.every(Number.isFinite));
    assert.equal(drafting.cache.length, CONFIG.positions);
    // Rows of a level are padded up to a compiled size.
    assert.ok(before >= CONFIG.positions + 15 * width + 6);
  }
});
