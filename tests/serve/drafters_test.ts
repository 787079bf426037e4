/** Drafters by tree: kept, given up when too many, costs asked for once a kind; trees read from texts. */
import assert from "node:assert/strict";
import { readTree } from "../../lib/serve/drafters.ts";
import { tinyModel } from "./world.ts";

Deno.test("a tree is auto or three numbers within limits", () => {
  assert.equal(readTree("auto"), "auto");
  assert.deepEqual(readTree("60/6/10"), { budget: 60, depth: 6, width: 10 });
  for (const text of ["", "60/6", "60/6/10/1", "0x8/1/1", "8/3/2 ", "-8/3/2", "1000/6/10"]) {
    assert.throws(() => readTree(text), /found a?(the)? ?tree .*wanted/, text);
  }
});

Deno.test("a drafter is made once and kept while others leave room", async () => {
  using model = await tinyModel({ most: 2 });
  const { drafters, measured } = model, greedy = (tree: string) => ({ tree, temperature: 0 });
  const first = await drafters.of(greedy("4/2/2"));
  assert.equal(first.budget, 4);
  await drafters.of(greedy("6/2/2"));
  assert.equal(await drafters.of(greedy("4/2/2")), first);
  // The third: the one not used for longest goes.
  const third = await drafters.of(greedy("8/3/2"));
  assert.equal(drafters.size, 2);
  assert.equal(await drafters.of(greedy("4/2/2")), first);
  await drafters.of(greedy("6/2/2"));
  assert.notEqual(await drafters.of(greedy("8/3/2")), third);
  assert.deepEqual(measured, []);
});

Deno.test("what is given up holds nothing on the backend", async () => {
  using model = await tinyModel({ most: 1 });
  const held: number[] = [];
  for (let round = 0; round < 3; round++) {
    for (const tree of ["4/2/2", "8/3/2"]) await model.drafters.of({ tree, temperature: 0 });
    await new Promise((go) => setTimeout(go)); // compiled programs are given back a moment later
    held.push(model.held());
  }
  assert.deepEqual(held, [held[0], held[0], held[0]]);
});

Deno.test("trees that size themselves know the costs of their kind", async () => {
  using model = await tinyModel();
  const { drafters, measured } = model;
  const greedy = await drafters.of({ tree: "auto", temperature: 0 });
  const sampled = await drafters.of({ tree: "auto", temperature: 0.7 });
  assert.notEqual(greedy, sampled);
  assert.equal(await drafters.of({ tree: "auto", temperature: 1 }), sampled);
  assert.deepEqual(measured, ["top", "sampled"]);
});
