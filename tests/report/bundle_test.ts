/** Bundles: what each kind of value says in each MIME type, and that nothing in it can act on its own. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { bundleOf, libraryHtml } from "../../lib/report/bundle.ts";
import { tauByBudget } from "../../lib/report/study_figures.ts";

const FIGURE = tauByBudget([{ series: "</script><b>", at: 4, value: 1 / 3 }, {
  series: "b",
  at: 4,
  value: 2,
}]);

Deno.test("a figure: Plotly JSON, HTML with a picture, SVG and text", () => {
  const bundle = bundleOf(FIGURE);
  assert.deepEqual(Object.keys(bundle), [
    "application/vnd.plotly.v1+json",
    "text/html",
    "image/svg+xml",
    "text/plain",
  ]);
  const json = bundle["application/vnd.plotly.v1+json"] as unknown as {
    data: { y: number[] }[];
    layout: { title: { text: string } };
  };
  assert.equal(json.layout.title.text, FIGURE.title);
  assert.deepEqual(json.data[0].y, [0.33333]);
  const html = bundle["text/html"] as string;
  const picture = /src="data:image\/svg\+xml;base64,([^"]+)"/.exec(html)![1];
  assert.equal(Buffer.from(picture, "base64").toString(), bundle["image/svg+xml"]);
  // Its script ends where it should, whatever stands in the data.
  assert.equal(html.split("</script>").length, 2);
  assert.match(bundle["text/plain"] as string, /Acceptance length/);
});

Deno.test("a long title stands in two lines, with room for both", () => {
  const layoutOf = (title: string) => {
    const { layout } = bundleOf({ ...FIGURE, title })["application/vnd.plotly.v1+json"] as {
      layout: { title: { text: string }; height: number; margin: { t: number } };
    };
    return layout;
  };
  const long = layoutOf("tau against griffin, 8 nodes, paired over 80 prompts"),
    short = layoutOf("t");
  assert.equal(long.title.text, "tau against griffin, 8 nodes,<br>paired over 80 prompts");
  assert.equal(long.margin.t - short.margin.t, long.height - short.height);
  assert.ok(long.margin.t > short.margin.t);
});

Deno.test("two outputs of one figure do not share an element", () => {
  const id = () => /<div id="([^"]+)"/.exec(bundleOf(FIGURE)["text/html"] as string)![1];
  assert.notEqual(id(), id());
});

Deno.test("a table is HTML and text; a text is itself", () => {
  const bundle = bundleOf([["a & b"], [1]]);
  assert.match(bundle["text/html"] as string, /<th class="n">a &amp; b<\/th>/);
  assert.equal(bundle["text/plain"], "a & b\n-----\n    1");
  assert.deepEqual(bundleOf("hello"), { "text/plain": "hello" });
});

Deno.test("a picture that takes the colour of its surroundings gets one of its own", () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><path fill="currentColor"/></svg>';
  const bundle = bundleOf({ svg, text: "a path" });
  assert.ok(!`${bundle["image/svg+xml"]}`.includes("currentColor"));
  assert.equal(bundle["text/plain"], "a path");
});

Deno.test("a page: its tables and figures in order", () => {
  const page = {
    title: "Page",
    sections: [{ heading: "One", text: "said", table: [["x"], [5]], figures: [FIGURE] }],
  };
  const { "text/html": html, "text/plain": text } = bundleOf(page);
  assert.match(html as string, /<h3>Page<\/h3><h4>One<\/h4><p>said<\/p>.*<table>.*<img /s);
  assert.match(text as string, /^Page\n\nOne\nsaid\nx\n/);
});

Deno.test("Plotly's code defines itself on the window even where modules are loaded", () => {
  const html = libraryHtml("root.Plotly = 1");
  assert.match(html, /function\(define,module,exports,require\)/);
});
