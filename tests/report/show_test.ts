/** What a cell is sent: one bundle a value, readable everywhere; Plotly's code once; figures that change in place. */
import assert from "node:assert/strict";
import { type Bundle, bundleOf, type Showable } from "../../lib/report/bundle.ts";
import { liveFigure, type Screen, show } from "../../lib/report/show.ts";
import { misalignedByPass } from "../../lib/report/study_figures.ts";

const figure = misalignedByPass([{ series: "a", at: 1, value: 0.1 }, {
  series: "a",
  at: 2,
  value: 0.2,
}]);
const svg = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>';

/** A front end that keeps what it is sent. */
function recorder() {
  const sent: { bundle: Bundle; id?: string; update?: boolean }[] = [];
  const screen: Screen = {
    display: (bundle, place) => {
      sent.push({ bundle, id: place?.display_id, update: place?.update });
      return Promise.resolve();
    },
  };
  return { sent, screen };
}

Deno.test("figures, pictures, tables and texts each have a plain form and a picture or markup", () => {
  const drawn = bundleOf(figure);
  assert.ok("application/vnd.plotly.v1+json" in drawn, Object.keys(drawn).join());
  assert.match(String(drawn["image/svg+xml"]), /^<svg[\s\S]*Misaligned tokens by pass/);
  assert.match(String(drawn["text/plain"]), /series\s+pass/);
  const kinds: [Showable, RegExp][] = [
    [{ svg, text: "a tree" }, /a tree/],
    [[["suite", "tau"], ["ours", 4.5]], /ours\s+4\.5/],
    ["words", /words/],
  ];
  for (const [value, plain] of kinds) assert.match(String(bundleOf(value)["text/plain"]), plain);
  assert.match(String(bundleOf([["a<b"], ["<i>"]])["text/html"]), /&lt;i&gt;/, "cells are texts");
});

Deno.test("Plotly's code is sent with the first figure only, and not kept in the notebook", async () => {
  const { sent, screen } = recorder();
  await show(figure, { screen });
  await show(figure, { screen });
  const sizes = sent.map(({ bundle }) => JSON.stringify(bundle).length);
  assert.ok(sizes[0] > 1e6, "the first brings the library");
  assert.ok(
    sent[1].update && sent[1].id === sent[0].id && sizes[1] < 1e5,
    "and is replaced at once",
  );
  assert.equal(sent.length, 3);
  assert.ok(sizes[2] < 1e5);
});

Deno.test("a live figure changes one output, as often as it is told to and at the end", async () => {
  const { sent, screen } = recorder();
  let made = 0;
  {
    await using live = liveFigure({ every: 1e9, screen });
    for (let i = 0; i < 5; i++) {
      await live.update(() => {
        made++;
        return `state ${i}`;
      });
    }
    assert.deepEqual(sent.map(({ bundle }) => bundle["text/plain"]), ["state 0"]);
  }
  assert.deepEqual(sent.map(({ bundle }) => bundle["text/plain"]), ["state 0", "state 4"]);
  assert.equal(made, 2, "states that nobody sees are not made");
  assert.ok(sent[1].update && sent[1].id === sent[0].id);
});
