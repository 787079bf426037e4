/** The mask inspector: shares of trainable rows, and a drawing in which every trainable token stands in each pass. */
import assert from "node:assert/strict";
import { inspectedShares, inspectMask } from "../../lib/report/mask_inspector.ts";

const example = {
  texts: ["the", " <b>", "end", "pad"],
  trainable: [true, true, true, false],
  passes: [
    { trained: [true, true, true, false], hit: [true, false, true, false] },
    { trained: [true, true, false, false], hit: [true, true, true, false] },
  ],
};

Deno.test("shares count trainable rows only", () => {
  assert.deepEqual(inspectedShares(example), [
    { kept: 1, misaligned: 1 / 3 },
    { kept: 2 / 3, misaligned: 0 },
  ]);
});

Deno.test("each pass shows each trainable token, with its state, and nothing else", () => {
  const svg = inspectMask(example, { title: "A & B" });
  assert.ok(svg.includes("A &amp; B") && !/NaN|undefined/.test(svg));
  assert.equal((svg.match(/<title>/g) ?? []).length, 6);
  assert.equal((svg.match(/<title>end: trained/g) ?? []).length, 1);
  assert.equal((svg.match(/<title>end: dropped by the mask/g) ?? []).length, 1);
  assert.ok(svg.includes("␣&lt;b&gt;: trained, outside the draft"));
  assert.ok(!svg.includes("pad"));
});
