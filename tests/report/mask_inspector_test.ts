/** The mask inspector: a box a trainable row and pass, in the colours of what became of it. */
import assert from "node:assert/strict";
import { inspectedShares, inspectMask } from "../../lib/report/mask_inspector.ts";

const EXAMPLE = {
  texts: ["prompt", " a", " <b>", " c"],
  trainable: [false, true, true, true],
  passes: [
    { trained: [false, true, true, true], hit: [true, true, false, true] },
    { trained: [false, true, true, false], hit: [true, true, true, true] },
  ],
};

Deno.test("shares count trainable rows only", () => {
  assert.deepEqual(inspectedShares(EXAMPLE), [
    { kept: 1, misaligned: 1 / 3 },
    { kept: 2 / 3, misaligned: 0 },
  ]);
});

Deno.test("a box for each trainable row of each pass; texts cannot act", () => {
  const svg = inspectMask(EXAMPLE);
  assert.equal(svg.split("<g>").length - 1, 6);
  assert.ok(!svg.includes("prompt"));
  assert.ok(!svg.includes("<b>") && svg.includes("&lt;b&gt;"));
  assert.match(svg, /pass 2: trains 67 %, misses 0.0 %/);
  assert.equal(svg.split("dropped by the mask, among").length - 1, 1);
});

Deno.test("long answers break into lines of the given width", () => {
  const n = 200, all = Array.from({ length: n }, () => true);
  const long = {
    texts: Array.from({ length: n }, () => " word"),
    trainable: all,
    passes: [{ trained: all, hit: all }],
  };
  const svg = inspectMask(long, { width: 400 });
  for (const [, x, wide] of svg.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g)) {
    assert.ok(Number(x) + Number(wide) <= 400);
  }
});
