/**
 * Streams and masks: attention over several streams against loops that choose a stream for each pair of rows,
 * both alignment rules against loops over rows, and shifts. In float64.
 */
import assert from "node:assert/strict";
import { input } from "../../lib/graph/ops.ts";
import {
  alignedAttention,
  alignmentMask,
  makeStream,
  type MaskRule,
  nextStream,
  shiftUp,
  withinTop,
} from "../../lib/train/align.ts";
import { evaluator, valueOf, values } from "../graph/evaluate.ts";
import { attend, rotate } from "../model/naive.ts";
import { tinyDraftConfig } from "../model/tiny.ts";
import { assertClose } from "../tolerance.ts";

const BATCH = 2, LENGTH = 6, CONFIG = tinyDraftConfig();

/** The stream that row r takes the key of row c from. */
function streamOf(passes: number, r: number, c: number): number {
  const stream = passes - 1 - (r - c);
  return stream >= 1 ? stream : 0;
}

Deno.test("streams of three passes are chosen as in the picture", () => {
  const picture = [[2], [1, 2], [0, 1, 2], [0, 0, 1, 2]];
  picture.forEach((row, r) => row.forEach((s, c) => assert.equal(streamOf(3, r, c), s)));
});

for (const passes of [1, 2, 3, 4]) {
  Deno.test(`attention over ${passes} streams takes each key from its stream`, async () => {
    const { heads, kvHeads, headSize, ropeTheta: theta } = CONFIG, n = BATCH * LENGTH;
    const wide = [n, heads * headSize], narrow = [n, kvHeads * headSize];
    const names = Array.from({ length: passes }, (_, s) => s);
    const streams = names.map((s) =>
      makeStream({ k: input(`k${s}`, narrow), v: input(`v${s}`, narrow) }, {
        config: CONFIG,
        batch: BATCH,
      })
    );
    const run = await evaluator({
      context: alignedAttention(input("q", wide), streams, { config: CONFIG, batch: BATCH }),
    });
    const given: Record<string, Float64Array> = { q: values(wide, "q") };
    for (const s of names) {
      given[`k${s}`] = values(narrow, `k${s}`);
      given[`v${s}`] = values(narrow, `v${s}`);
    }
    const { context } = await run(given);

    const wanted: number[] = [];
    for (let row = 0; row < n; row++) {
      const first = row - row % LENGTH, r = row % LENGTH;
      const at = (name: string, i: number) => {
        const width = given[name].length / n;
        return given[name].subarray(i * width, (i + 1) * width);
      };
      const turn = (x: Float64Array, position: number) => rotate(x, { position, headSize, theta });
      const columns = Array.from({ length: r + 1 }, (_, c) => ({
        c,
        stream: streamOf(passes, r, c),
      }));
      const keys = columns.map(({ c, stream }) => turn(at(`k${stream}`, first + c), c));
      const seen = columns.map(({ c, stream }) => at(`v${stream}`, first + c));
      wanted.push(...attend(turn(at("q", row), r), { keys, values: seen, headSize }));
    }
    assertClose(context, wanted, { what: `${passes} passes`, shape: wide, a: 1e-12, eps: 1e-12 });
  });
}

const ROWS = [
  [1, 0, 1, 1, 0, 1, 1],
  [0, 1, 1, 1, 1, 0, 1],
];

/** hits[j] = hits of pass j + 1; those of later passes are moved so that they differ. */
function someHits(passes: number): number[][][] {
  return Array.from(
    { length: passes },
    (_, j) => ROWS.map((row) => row.map((_, t) => row[(t + 3 * j) % row.length])),
  );
}

/** The rules as they are written, row by row. n is the pass that is masked. */
const RULES: Record<Exclude<MaskRule, "none">, (row: number[][], n: number, t: number) => number> =
  {
    paper: (hits, n, t) => {
      let product = 1;
      // hit_{n-1}(t-1) hit_{n-2}(t-2) ... hit_1(t-n+1); rows before the sequence count as hit.
      for (let back = 1; back < n; back++) {
        product *= t - back < 0 ? 1 : hits[n - back - 1][t - back];
      }
      return product;
    },
    upstream: (hits, n, t) => {
      let product = 1;
      // hit_{n-1}(t) hit_{n-2}(t-1) ... hit_1(t-n+2), the sequence taken as a ring.
      for (let back = 1; back < n; back++) {
        const row = hits[n - back - 1];
        product *= row[(t - back + 1 + row.length) % row.length];
      }
      return product;
    },
  };

for (const rule of ["paper", "upstream"] as const) {
  Deno.test(`the ${rule} mask follows its formula for passes 2 to 5`, async () => {
    const patterns = new Set<string>();
    for (let pass = 2; pass <= 5; pass++) {
      const hits = someHits(pass - 1), shape = [ROWS.length, ROWS[0].length];
      const nodes = hits.map((_, j) => input(`hit${j}`, shape));
      const given = Object.fromEntries(
        hits.map((rows, j) => [`hit${j}`, Float64Array.from(rows.flat())]),
      );
      const found = await valueOf(alignmentMask(nodes, rule)!, given);
      const wanted = ROWS.flatMap((row, b) =>
        row.map((_, t) => RULES[rule](hits.map((rows) => rows[b]), pass, t))
      );
      assert.deepEqual(found, wanted, `pass ${pass}`);
      assert.ok(new Set(wanted).size === 2, `pass ${pass}: a mask of one value shows nothing`);
      patterns.add(wanted.join(""));
    }
    assert.equal(patterns.size, 4);
  });
}

Deno.test("the first pass and the rule none mask nothing", () => {
  assert.equal(alignmentMask([], "paper"), undefined);
  assert.equal(alignmentMask([], "upstream"), undefined);
  assert.equal(alignmentMask([input("hit", [2, 3])], "none"), undefined);
});

Deno.test("the next stream keeps row 0 and moves predictions down by one row", async () => {
  const first = input("first", [2, 3, 1]), regress = input("regress", [2, 3, 1]);
  const given = {
    first: Float64Array.of(1, 2, 3, 4, 5, 6),
    regress: Float64Array.of(7, 8, 9, -1, -2, -3),
  };
  assert.deepEqual(await valueOf(nextStream(first, regress), given), [1, 7, 8, 4, -1, -2]);
  assert.deepEqual(await valueOf(shiftUp(first, 1), given), [2, 3, 0, 5, 6, 0]);
});

Deno.test("a rank below k is within the top k", async () => {
  const rank = input("rank", [4]);
  assert.deepEqual(await valueOf(withinTop(rank, 3), { rank: Float64Array.of(0, 2, 3, 9) }), [
    1,
    1,
    0,
    0,
  ]);
});
