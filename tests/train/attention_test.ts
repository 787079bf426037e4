/**
 * Attention over the streams of several passes against loops over rows, in float64: rows to come hidden or as the
 * published code has them, several examples in a row, and EAGLE-3's rule by roots. Masks: `align_test.ts`.
 */
import assert from "node:assert/strict";
import { input } from "../../lib/graph/ops.ts";
import type { Node } from "../../lib/graph/node.ts";
import {
  alignedAttention,
  alignmentMask,
  type AttentionRule,
  makeStream,
  nextStream,
  rootedAttention,
  turnedHeads,
} from "../../lib/train/align.ts";
import { evaluator, valueOf, values } from "../graph/evaluate.ts";
import { attend, logSoftmax, rotate } from "../model/naive.ts";
import { tinyDraftConfig } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const CONFIG = tinyDraftConfig(), { heads, kvHeads, headSize, ropeTheta: theta } = CONFIG;
const BATCH = 2, LENGTH = 9, N = BATCH * LENGTH;
const WIDE = [N, heads * headSize], NARROW = [N, kvHeads * headSize];
/** Lengths of the examples that share each row of the batch; padding counts as examples of one token. */
const PACKED = [[4, 5], [3, 4, 1, 1]];
const PLACE = Float64Array.from(PACKED.flat().flatMap((n) => [...Array(n).keys()]));
/** Row of the batch at which the example of each row begins. */
const STARTS = Array.from(PLACE, (place, i) => i % LENGTH - place);

type Given = Record<string, Float64Array>;

function givenFor(passes: number): Given {
  const given: Given = { q: values(WIDE, "q"), place: PLACE };
  for (let s = 0; s < passes; s++) {
    given[`k${s}`] = values(NARROW, `k${s}`);
    given[`v${s}`] = values(NARROW, `v${s}`);
  }
  return given;
}

const part = (x: Float64Array, i: number, rows = N) =>
  x.subarray(i * x.length / rows, (i + 1) * x.length / rows);
const turn = (x: Float64Array, position: number) => rotate(x, { position, headSize, theta });
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function streamsOf(passes: number, from: (s: number) => number = () => 0) {
  return range(0, passes).map((s) =>
    makeStream({ k: input(`k${s}`, NARROW), v: input(`v${s}`, NARROW) }, {
      config: CONFIG,
      batch: BATCH,
      from: from(s),
    })
  );
}

function close(what: string, found: ArrayLike<number>, wanted: ArrayLike<number>): void {
  assertClose(found, wanted, { what, shape: [wanted.length], a: 1e-12, eps: 1e-12 });
}

/** One head of the published rule: rows to come have score 0, take weight and give no value. */
function upstreamRow(given: Given, row: number, passes: number): number[] {
  const r = row % LENGTH, first = row - r, out: number[] = [];
  const q = turn(part(given.q, row), r);
  for (let h = 0; h < heads; h++) {
    const at = Math.floor(h / (heads / kvHeads)) * headSize;
    const stream = (c: number) => Math.max(0, passes - 1 - (r - c));
    const scores = range(0, LENGTH).map((c) => {
      if (c > r) return 0;
      const key = turn(part(given[`k${stream(c)}`], first + c), c);
      return range(0, headSize).reduce((sum, i) => sum + q[h * headSize + i] * key[at + i], 0) /
        Math.sqrt(headSize);
    });
    const weights = logSoftmax(scores).map(Math.exp);
    for (let i = 0; i < headSize; i++) {
      out.push(
        range(0, r + 1).reduce(
          (sum, c) => sum + weights[c] * part(given[`v${stream(c)}`], first + c)[at + i],
          0,
        ),
      );
    }
  }
  return out;
}

/** One row of the masked rule; it sees its own example only. */
function maskedRow(given: Given, row: number, passes: number): number[] {
  const r = row % LENGTH, first = row - r, columns = range(STARTS[row], r + 1);
  const stream = (c: number) => Math.max(0, passes - 1 - (r - c));
  const keys = columns.map((c) => turn(part(given[`k${stream(c)}`], first + c), c));
  const seen = columns.map((c) => part(given[`v${stream(c)}`], first + c));
  return attend(turn(part(given.q, row), r), { keys, values: seen, headSize });
}

const RULES: Record<string, {
  attention: AttentionRule;
  place?: Node;
  row: (given: Given, row: number, passes: number) => number[];
}> = {
  "rows to come as published": { attention: "upstream", row: upstreamRow },
  "several examples a row": {
    attention: "masked",
    place: input("place", [BATCH, LENGTH]),
    row: maskedRow,
  },
};

for (const [name, { row, ...rule }] of Object.entries(RULES)) {
  for (const passes of [1, 2, 3, 4]) {
    Deno.test(`attention over ${passes} streams, ${name}`, async () => {
      const given = givenFor(passes), q = input("q", WIDE);
      const rows = { config: CONFIG, batch: BATCH, ...rule };
      const run = await evaluator({ context: alignedAttention(q, streamsOf(passes), rows) });
      const { context } = await run(given);
      close(name, context, range(0, N).flatMap((i) => row(given, i, passes)));
    });
  }
}

Deno.test("the published attention depends on padding, the masked one does not", async () => {
  const given = givenFor(2), q = input("q", WIDE);
  for (const attention of ["masked", "upstream"] as const) {
    const rows = { config: CONFIG, batch: BATCH, attention };
    const run = await evaluator({ context: alignedAttention(q, streamsOf(2), rows) });
    // The same rows in a batch that ends three rows earlier.
    const cut = (x: Float64Array) =>
      Float64Array.from(range(0, N).flatMap((i) => i % LENGTH < 6 ? [...part(x, i)] : []));
    const short = [BATCH * 6, NARROW[1]], node = (n: string) => input(n, short);
    const streams = [0, 1].map((s) =>
      makeStream({ k: node(`k${s}`), v: node(`v${s}`) }, { config: CONFIG, batch: BATCH })
    );
    const shorter = await evaluator({
      context: alignedAttention(input("q", [BATCH * 6, WIDE[1]]), streams, rows),
    });
    const all = await run(given);
    const few = await shorter(
      Object.fromEntries(Object.entries(given).map(([n, x]) => [n, cut(x)])),
    );
    const apart = cut(all.context).reduce(
      (m, x, i) => Math.max(m, Math.abs(x - few.context[i])),
      0,
    );
    assert.ok(attention === "masked" ? apart < 1e-12 : apart > 1e-3, `${attention}: ${apart}`);
  }
});

/** One row of the newest pass: pass 0 up to itself, and its own row of every later pass. */
function rootedRow(given: Given, row: number, { passes, from }: { passes: number; from: number }) {
  const r = row % LENGTH, first = row - r, columns = range(from, r + 1), later = range(1, passes);
  return attend(turn(part(given.q, row), r + passes - 1), {
    keys: [
      ...columns.map((c) => turn(part(given.k0, first + c), c)),
      ...later.map((i) => turn(part(given[`k${i}`], row), r + i)),
    ],
    values: [
      ...columns.map((c) => part(given.v0, first + c)),
      ...later.map((i) => part(given[`v${i}`], row)),
    ],
    headSize,
  });
}

for (const passes of [1, 2, 3, 4]) {
  for (const packed of [false, true]) {
    const name = packed ? "several examples a row" : "one example a row";
    Deno.test(`attention by roots in pass ${passes}, ${name}`, async () => {
      const given = givenFor(passes), rows = { config: CONFIG, batch: BATCH };
      const place = packed ? input("place", [BATCH, LENGTH]) : undefined;
      const q = turnedHeads(input("q", WIDE), { ...rows, from: passes - 1 });
      const streams = streamsOf(passes, (s) => s);
      const run = await evaluator({ context: rootedAttention(q, streams, { place }) });
      const { context } = await run(given);
      const wanted = range(0, N).flatMap((row) =>
        rootedRow(given, row, { passes, from: packed ? STARTS[row] : 0 })
      );
      close(name, context, wanted);
    });
  }
}

/** The rows of each example alone: example -> its rows in the batch. */
const EXAMPLES = PACKED.flatMap((lengths, b) => {
  let at = b * LENGTH;
  return lengths.map((n) => range(at, at += n));
});

Deno.test("the next stream of examples in one row is that of each alone", async () => {
  const shape = [BATCH, LENGTH, 2], first = values(shape, "first"), regress = values(shape, "next");
  const place = input("place", [BATCH, LENGTH]);
  const found = await valueOf(
    nextStream(input("first", shape), input("regress", shape), place),
    { first, regress, place: PLACE },
  );
  for (const rows of EXAMPLES.filter(({ length }) => length > 1)) {
    const alone = [1, rows.length, 2];
    const pick = (x: ArrayLike<number>) =>
      Float64Array.from(rows.flatMap((row) => [x[2 * row], x[2 * row + 1]]));
    const wanted = await valueOf(nextStream(input("first", alone), input("regress", alone)), {
      first: pick(first),
      regress: pick(regress),
    });
    assert.deepEqual([...pick(found)], wanted);
  }
});

Deno.test("the paper's mask of examples in one row is that of each alone", async () => {
  const hits = range(0, 4).map((j) => values([N], `hit${j}`).map((x) => x > -0.9 ? 1 : 0));
  const seen = new Set<number>();
  for (const passes of [1, 2, 3, 4]) {
    const used = hits.slice(0, passes);
    const run = async (rows: number[], shape: number[], place?: Node) =>
      await valueOf(
        alignmentMask(used.map((_, j) => input(`hit${j}`, shape)), "paper", place)!,
        {
          place: PLACE,
          ...Object.fromEntries(
            used.map((h, j) => [`hit${j}`, Float64Array.from(rows, (r) => h[r])]),
          ),
        },
      );
    const shape = [BATCH, LENGTH];
    const found = await run(range(0, N), shape, input("place", shape));
    for (const rows of EXAMPLES) {
      if (rows.length <= passes) continue; // alone it is too short for the shifts
      const wanted = await run(rows, [1, rows.length]);
      assert.deepEqual(rows.map((r) => found[r]), wanted, `pass ${passes + 1}`);
      wanted.forEach((x) => seen.add(x));
    }
  }
  assert.equal(seen.size, 2);
});
