/** Scales: ticks are round and inside, places are in proportion, names stand side by side. */
import assert from "node:assert/strict";
import { makeScale, tickStep, tickText } from "../../lib/report/svg_scale.ts";

const place = { from: 100, to: 300, padding: 0 };

Deno.test("steps between ticks are 1, 2 or 5 times a power of ten", () => {
  assert.equal(tickStep(10, 5), 2);
  assert.equal(tickStep(0.9, 4), 0.5);
  assert.equal(tickStep(7000, 5), 2000);
});

Deno.test("ticks have the digits that they need", () => {
  assert.equal(tickText(0.25, { step: 0.05 }), "0.25");
  assert.equal(tickText(3, { step: 1 }), "3");
  assert.equal(tickText(0.125, { step: 0.005, format: ".0%" }), "12.5%");
  assert.equal(tickText(20_000, { step: 5000 }), "20k");
});

Deno.test("a linear scale puts values in proportion, in either direction", () => {
  const scale = makeScale([0, 10], { ...place, axis: {} });
  assert.equal(scale.at(0), 100);
  assert.equal(scale.at(5), 200);
  const up = makeScale([0, 10], { axis: {}, from: 300, to: 100, padding: 0 });
  assert.equal(up.at(10), 100);
  for (const { value } of scale.ticks) assert.ok(Number(value) >= 0 && Number(value) <= 10);
});

Deno.test("rangemode tozero shows zero, one value alone has room around it", () => {
  const scale = makeScale([3, 4], { ...place, axis: { rangemode: "tozero" } });
  assert.equal(scale.at(0), 100);
  assert.ok(Number.isFinite(makeScale([7], { ...place, axis: {} }).at(7)));
  assert.ok(Number.isFinite(makeScale([], { ...place, axis: {} }).at(0)));
});

Deno.test("a logarithmic scale gives equal steps to equal ratios, and none to zero", () => {
  const scale = makeScale([1, 100], { ...place, axis: { type: "log" } });
  const step = scale.at(10) - scale.at(1);
  assert.ok(Math.abs(scale.at(100) - scale.at(10) - step) < 1e-9);
  assert.ok(Number.isNaN(scale.at(0)));
  assert.deepEqual(scale.ticks.map((t) => t.text), ["1", "3", "10", "30", "100"]);
});

Deno.test("names have a slot each, reversed where asked for", () => {
  const names = ["a", "b", "a"], axis = { autorange: "reversed" };
  const scale = makeScale(names, { ...place, axis });
  assert.equal(scale.slot, 100);
  assert.ok(scale.at("a") > scale.at("b"));
  assert.deepEqual(scale.ticks.map((t) => t.text), ["a", "b"]);
});
