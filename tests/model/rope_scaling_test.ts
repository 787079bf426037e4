/**
 * Stretched angles: the formulas at the pairs where they are simple, what is read and written, what is refused. Against
 * transformers: `tests/golden/families_golden_test.ts`.
 */
import assert from "node:assert/strict";
import {
  angularSpeeds,
  attentionFactor,
  readRopeScaling,
  type RopeScaling,
  ropeScalingJson,
  stretchedFrom,
} from "../../lib/model/rope_scaling.ts";
import { rotaryTables } from "../../lib/model/rotary.ts";
import type { Node } from "../../lib/graph/node.ts";

const READ = { file: "x/config.json", known: 4096, headSize: 8 };
const read = (scaling: unknown, others = {}) =>
  readRopeScaling({ rope_scaling: scaling, ...others } as never, READ);
const near = (found: number, wanted: number) =>
  assert.ok(Math.abs(found / wanted - 1) < 1e-12, `${found}, wanted ${wanted}`);

const LONG = { short: [1, 2, 3, 4], long: [5, 6, 7, 8], positions: 256 };
const ALL: RopeScaling[] = [
  { type: "linear", factor: 4 },
  { type: "llama3", factor: 8, low: 1, high: 4, positions: 8192 },
  {
    ...{ type: "yarn", factor: 4, fast: 16, slow: 2, truncate: false, positions: 1024 },
    attention: 1.25,
  },
  { type: "dynamic", factor: 2, positions: 4096 },
  { type: "longrope", ...LONG, attention: 1.5 },
];

for (const scaling of ALL) {
  Deno.test(`${scaling.type} survives being written and read`, () => {
    assert.deepEqual(read(ropeScalingJson(scaling)), scaling);
    const { rope_type, ...rest } = ropeScalingJson(scaling);
    assert.deepEqual(read({ type: rope_type, ...rest }), scaling, "under its old name");
  });
}

Deno.test("no scaling, theta alone and default are none", () => {
  for (
    const none of [undefined, null, { rope_theta: 1e6 }, { rope_type: "default", rope_theta: 5 }]
  ) {
    assert.equal(read(none), undefined);
  }
});

Deno.test("yarn: what is left out is inferred from what is there", () => {
  const scaling = read({ type: "yarn", original_max_position_embeddings: 1024 }) as RopeScaling;
  assert.deepEqual(scaling, {
    ...{ type: "yarn", factor: 4, fast: 32, slow: 1, truncate: true, positions: 1024 },
    attention: 0.1 * Math.log(4) + 1,
  });
  assert.deepEqual(
    read({ type: "yarn", factor: 4 }, { original_max_position_embeddings: 1024 }),
    scaling,
    "told outside",
  );
  const scaled = read({ type: "yarn", factor: 4, mscale: 2, mscale_all_dim: 1 });
  near(attentionFactor(scaled), (0.2 * Math.log(4) + 1) / (0.1 * Math.log(4) + 1));
  const shorter = read({ type: "yarn", factor: 0.5 });
  assert.equal(attentionFactor(shorter), 1);
});

Deno.test("yarn: quick pairs are kept, slow ones divided, those between in part", () => {
  const model = { headSize: 128, ropeTheta: 10000 }, plain = angularSpeeds(model);
  const ropeScaling = read({ type: "yarn", factor: 4, original_max_position_embeddings: 2048 });
  const found = angularSpeeds({ ...model, ropeScaling });
  // Turns within 2048 positions: over 32 for the first pairs, less than 1 for the last.
  near(found[0], plain[0]);
  near(found[63], plain[63] / 4);
  const pairOf = (turns: number) =>
    128 * Math.log(2048 / (turns * 2 * Math.PI)) / (2 * Math.log(1e4));
  const low = Math.floor(pairOf(32)), high = Math.ceil(pairOf(1)), i = low + 7;
  const kept = 1 - (i - low) / (high - low);
  near(found[i], plain[i] * (kept + (1 - kept) / 4));
});

Deno.test("longrope and yarn multiply the tables; longrope divides pair by pair", () => {
  const ropeScaling = ALL[4], model = { headSize: 8, ropeTheta: 100 };
  const plain = angularSpeeds(model);
  angularSpeeds({ ...model, ropeScaling }).forEach((s, i) => near(s, plain[i] / LONG.short[i]));
  const { cos } = rotaryTables(2, { ...model, ropeScaling });
  const row = (cos as Node<"constant">).attrs.data;
  assert.deepEqual([...row.subarray(0, 4)], [1.5, 1.5, 1.5, 1.5]);
  assert.equal(row[4], Math.fround(1.5 * Math.cos(1)));
  // Without attention_factor: sqrt(1 + ln factor / ln positions).
  const { attention_factor: _, ...json } = ropeScalingJson(ropeScaling);
  near(attentionFactor(read(json)), Math.sqrt(1 + Math.log(16) / Math.log(256)));
});

Deno.test("models whose angles would follow the length of a forward are used below it", () => {
  assert.deepEqual(ALL.map(stretchedFrom), [Infinity, Infinity, Infinity, 4096, 256]);
  assert.deepEqual(
    angularSpeeds({ headSize: 8, ropeTheta: 100, ropeScaling: ALL[3] }),
    angularSpeeds({ headSize: 8, ropeTheta: 100 }),
  );
});

Deno.test("what is not understood is refused by name", () => {
  const refused: [unknown, RegExp][] = [
    [
      { rope_type: "mrope", factor: 8 },
      /rope scaling is mrope, wanted default, linear, llama3, yarn/,
    ],
    [
      { type: "linear" },
      /x\/config\.json: factor of its rope scaling is undefined, wanted a positive/,
    ],
    [{ type: "yarn", factor: -1 }, /factor of its rope scaling is -1, wanted a positive number/],
    [{ full_attention: { rope_theta: 5 } }, /rope scaling is .*full_attention.*, wanted default/],
    [{ type: "longrope", short_factor: [1], long_factor: [1] }, /short_factor .* wants 4 positive/],
    [
      { rope_type: "default", partial_rotary_factor: 0.5 },
      /partial_rotary_factor is 0.5, wanted 1/,
    ],
  ];
  for (const [scaling, message] of refused) assert.throws(() => read(scaling), message);
  assert.throws(() => read(undefined, { partial_rotary_factor: 0.25 }), /partial_rotary_factor/);
});
