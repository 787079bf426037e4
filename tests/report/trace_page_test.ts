/** The page of a trace: nothing a model writes becomes markup, data and totals stand in it, it loads nothing. */
import assert from "node:assert/strict";
import { renderTracePage, viewerData } from "../../lib/report/trace_page.ts";
import { roundNumbers, textSoFar } from "../../lib/report/trace_viewer.ts";
import { madeUpTrace } from "./traces.ts";

const HOSTILE = '</script><img src=x onerror="alert(1)">\n\u{1F600}&amp;';
const TEXTS = {
  token: (id: number) => id % 2 === 0 ? HOSTILE : `t${id}`,
  pieces: (ids: readonly number[]) => ids.map((id) => id % 2 === 0 ? HOSTILE : `t${id}`),
};

Deno.test("hostile tokens stay text, on the page and in what its script shows", async () => {
  const trace = await madeUpTrace([1, 2]);
  const page = renderTracePage(trace, { name: HOSTILE, texts: TEXTS });
  assert.ok(!page.includes("<img"), "markup of a token reached the page");
  // The page's own scripts end, and nothing else ends one.
  assert.equal(page.split("<script").length, page.split("</script").length);
  assert.match(page, /default-src 'none'/);
  assert.ok(!/(src|href)="?https?:/.test(page), "the page loads something");
  const data = viewerData(trace.generations, TEXTS);
  for (const generation of data.generations) {
    const shown = textSoFar(generation, generation.rounds.length);
    assert.ok(!shown.includes("<img") && !shown.includes("</script"), shown.slice(0, 200));
  }
});

Deno.test("a round's numbers are those of the trace", async () => {
  const trace = await madeUpTrace([3]),
    { generations: [generation] } = viewerData(trace.generations, TEXTS);
  const [traced] = trace.generations;
  generation.rounds.forEach((_, i) => {
    const numbers = Object.fromEntries(roundNumbers(generation.rounds, i + 1));
    assert.equal(numbers.drafted, `${traced.rounds[i].drafted}`);
    assert.equal(numbers.accepted, `${traced.rounds[i].accepted}`);
    const emitted = traced.rounds.slice(0, i + 1).reduce((n, r) => n + r.tokens.length, 0);
    assert.ok(numbers["tau so far"].includes(`${emitted}/${i + 1}`));
  });
});
