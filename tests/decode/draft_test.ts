/**
 * The draft while decoding: its trees against a plain search that reads every path from its beginning, the
 * cache between calls, and errors for shapes it cannot draft.
 */
import assert from "node:assert/strict";
import type { Backend } from "../../lib/backend/backend.ts";
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import type { Tree } from "../../lib/decode/ancestry.ts";
import { DraftDecoder } from "../../lib/decode/draft.ts";
import type { TreeShape } from "../../lib/decode/tree.ts";
import { random } from "../../lib/random.ts";
import { logSoftmax, naiveDraft, times } from "../model/naive.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

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
    const target = tinyTarget(backend);
    using draft = new DraftDecoder(tinyDraft(CONFIG), { backend, target, width, eightBit: false });
    using cache = draft.newCache();
    const calls: Rows[] = [];
    // A prompt, three accepted rows, one accepted row.
    for (const length of [9, 3, 1]) {
      const rows = someRows(length, `call of ${length}`);
      calls.push(rows);
      const tree = await draft.draft(rows, { shape, cache });
      assertTree(tree, searched(calls, shape), `after ${length} rows`);
    }
    assert.equal(cache.length, 13);
  });
}

Deno.test("prompts longer than a chunk are read whole", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend), shape = { depth: 2, width: 2, budget: 4 };
  using draft = new DraftDecoder(tinyDraft(CONFIG), {
    backend,
    target,
    width: 2,
    eightBit: false,
  });
  for (const length of [64, 65, 80]) {
    using cache = draft.newCache();
    const rows = someRows(length, "long");
    assertTree(
      await draft.draft(rows, { shape, cache }),
      searched([rows], shape),
      `${length} rows`,
    );
    assert.equal(cache.length, length);
  }
});

Deno.test("a minimum score ends growth early and keeps the best candidate", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  const target = tinyTarget(backend), shape = { depth: 6, width: 2, budget: 20 };
  using draft = new DraftDecoder(tinyDraft(CONFIG), { backend, target, width: 2 });
  using one = draft.newCache();
  using two = draft.newCache();
  const rows = someRows(5, "minimum");
  const full = await draft.draft(rows, { shape, cache: one });
  const cut = await draft.draft(rows, { shape, cache: two, minimumScore: -1e-6 });
  assert.equal(cut.tokens.length, 2);
  assert.ok(full.tokens.length > 10);
});

/** A draft of the given tree width on a backend that compiles when first used. */
function decoderOf(backend: Backend, width: number): DraftDecoder {
  return new DraftDecoder(tinyDraft(CONFIG), { backend, target: tinyTarget(backend), width });
}

const REFUSED: [shape: TreeShape, message: RegExp][] = [
  [{ depth: 0, width: 3, budget: 8 }, /tree of depth 0: wanted a whole number from 1/],
  [{ depth: 1.5, width: 3, budget: 8 }, /tree of depth 1.5/],
  [{ depth: 2, width: 3, budget: 1 }, /tree of budget 1: wanted a whole number from 2/],
  [{ depth: 2, width: 4, budget: 8 }, /tree of width 4: this draft was compiled for width 3/],
  [{ depth: 2, width: 2, budget: 8 }, /tree of width 2: this draft was compiled for width 3/],
  [{ depth: 18, width: 3, budget: 8 }, /tree of depth 18: wanted at most 17/],
];

Deno.test("shapes that cannot be drafted are refused before anything runs", async () => {
  using draft = decoderOf(referenceBackend(), 3);
  using cache = draft.newCache();
  for (const [shape, message] of REFUSED) {
    assert.throws(() => draft.checkShape(shape), message);
    await assert.rejects(draft.draft(someRows(2, "refused"), { shape, cache }), message);
    assert.equal(cache.length, 0);
  }
});

Deno.test("features that do not fit the ids are refused", async () => {
  using draft = decoderOf(referenceBackend(), 3);
  using cache = draft.newCache();
  const shape = { depth: 2, width: 3, budget: 4 }, { ids, features } = someRows(3, "odd");
  const refused = (rows: Rows, message: RegExp) =>
    assert.rejects(draft.draft(rows, { shape, cache }), message);
  await refused({ ids, features: features.subarray(1) }, /from 3 tokens and 95 feature values/);
  await refused({ ids: ids.subarray(0, 0), features: features.subarray(0, 0) }, /from 0 tokens/);
  assert.equal(cache.length, 0);
});

Deno.test("the deepest tree at the last position stays inside the cache", async () => {
  using backend = await openOnnxBackend({ threads: 1 });
  for (const width of [1, 5]) {
    using draft = decoderOf(backend, width);
    using cache = draft.newCache();
    const rows = someRows(CONFIG.positions, "full"), shape = { depth: 17, width, budget: 18 };
    const before = cache.tensors["keys.0"].shape[2];
    const tree = await draft.draft(rows, { shape, cache });
    assert.equal(tree.tokens.length, 18);
    assert.ok(tree.scores.every(Number.isFinite));
    assert.equal(cache.length, CONFIG.positions);
    // Rows of a level are padded up to a compiled size.
    assert.ok(before >= CONFIG.positions + 15 * width + 6);
  }
});
