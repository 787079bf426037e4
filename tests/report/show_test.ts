/** Showing: the library comes once and does not stay, live figures change one output, sleep is the last act. */
import assert from "node:assert/strict";
import type { Bundle } from "../../lib/report/bundle.ts";
import { liveFigure, type Screen, show } from "../../lib/report/show.ts";
import { tauByBudget } from "../../lib/report/study_figures.ts";

interface Shown {
  bundle: Bundle;
  place?: { display_id: string; update: boolean };
}

function screen(): Screen & { shown: Shown[] } {
  const shown: Shown[] = [];
  return {
    shown,
    display: (bundle, place) => {
      shown.push({ bundle, place });
      return Promise.resolve();
    },
  };
}
const figure = (value: number) => tauByBudget([{ series: "a", at: 1, value }]);
const html = ({ bundle }: Shown) => `${bundle["text/html"]}`;

Deno.test("show: Plotly's code comes with the first figure and is taken out of it again", async () => {
  const to = screen();
  await show(figure(1), { screen: to });
  await show(figure(2), { screen: to });
  const [first, replaced, second] = to.shown;
  assert.equal(to.shown.length, 3);
  assert.ok(html(first).length > 1e6);
  assert.ok(html(replaced).length < 2e4 && html(second).length < 2e4);
  assert.equal(replaced.place?.update, true);
  assert.equal(replaced.place?.display_id, first.place?.display_id);
  assert.equal(second.place, undefined);
});

Deno.test("show: tables need no library; the last act is a sleep", async () => {
  const to = screen(), before = performance.now();
  await show([["a"], [1]], { screen: to });
  assert.ok(performance.now() - before >= 45);
  assert.equal(to.shown.length, 1);
  assert.equal(to.shown[0].place, undefined);
});

Deno.test("live figures: one output, drawn now and then, and at the end what came last", async () => {
  const to = screen();
  let drawn = 0;
  {
    await using live = liveFigure({ every: 1e6, screen: to });
    for (let i = 0; i < 50; i++) {
      await live.update(() => {
        drawn++;
        return [["step"], [i]];
      });
    }
    assert.equal(drawn, 1);
  }
  assert.equal(drawn, 2);
  const ids = new Set(to.shown.map((s) => s.place?.display_id));
  assert.equal(ids.size, 1);
  assert.deepEqual(to.shown.map((s) => s.place?.update), [false, true]);
  assert.match(`${to.shown.at(-1)!.bundle["text/plain"]}`, /49/);
});

Deno.test("outside of a notebook the plain form is printed", async () => {
  const script = 'import { show } from "./lib/report/show.ts"; await show([["a"], [7]]);';
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", script],
    cwd: new URL("../..", import.meta.url),
  }).output();
  assert.equal(new TextDecoder().decode(stdout), "a\n-\n7\n");
});
