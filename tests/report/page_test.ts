/** Pages: self-contained, safe whatever the text, complete without running their scripts. */
import assert from "node:assert/strict";
import type { Figure } from "../../lib/report/figures.ts";
import { escapeHtml, type Page, renderPage } from "../../lib/report/page.ts";
import type { Sample } from "../../lib/report/samples.ts";
import { NOWHERE } from "./samples.ts";

const HOSTILE = `</script><script>alert(1)</script><img src="x" onerror='alert(2)'>&<!--`;

const FIGURE: Figure = {
  title: "A figure",
  data: [{ type: "bar", name: HOSTILE, x: [1], y: [2] }],
  layout: { height: 100 },
  table: [["name", "value"], ["one", 2], ["minus", -3]],
};

const PAGE: Page = {
  title: "A page",
  lead: "What it shows.",
  sections: [{
    heading: "Result",
    text: "Some text.",
    table: [["suite", "tau"], ["ours", "2.50 [2.25, 2.75]"]],
    figures: [FIGURE],
  }],
  environment: NOWHERE,
};

const SAMPLE: Sample = {
  suite: "ours",
  id: "one",
  prompt: "Why?",
  drafted: [8],
  pieces: [
    { text: "So", round: 0, source: "first" },
    { text: " it is", round: 1, source: "accepted" },
  ],
};

/** The page without the contents of its scripts, and those contents. */
function split(html: string): { markup: string; scripts: string[] } {
  const scripts: string[] = [];
  const markup = html.replace(/<script[^>]*>([\s\S]*?)<\/script>/gi, (_, body) => {
    scripts.push(body);
    return "<script></script>";
  });
  return { markup, scripts };
}

Deno.test("text is escaped for elements and attributes", () => {
  assert.equal(
    escapeHtml(`<a b="c" d='e'>&</a>`),
    "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;&lt;/a&gt;",
  );
  assert.equal(escapeHtml("tau 2.5"), "tau 2.5");
});

Deno.test("a page holds its texts, tables, environment and figures", async () => {
  const { markup, scripts } = split(await renderPage(PAGE));
  assert.match(markup, /^<!doctype html>/);
  for (
    const text of [
      "<title>A page</title>",
      "<h1>A page</h1>",
      "<h2>Result</h2>",
      "Some text.",
      "<td>ours</td>",
      '<td class="n">2.50 [2.25, 2.75]</td>',
      "A figure",
      '<td class="n">-3</td>',
      "<td>abacus</td>",
      "<td>abc1234</td>",
      'id="figure0"',
    ]
  ) assert.ok(markup.includes(text), text);
  assert.equal(scripts.length, 2);
  assert.match(scripts[1], /Plotly\.newPlot/);
});

Deno.test("a page asks the network for nothing, and says so to the browser", async () => {
  const { markup, scripts } = split(await renderPage(PAGE));
  assert.doesNotMatch(markup, /\b(?:src|href|action|data)\s*=/i);
  assert.doesNotMatch(markup, /@import|url\(|https?:|\/\/[a-z]/i);
  assert.doesNotMatch(scripts[1], /https?:|fetch|import\b/);
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(markup)?.[1] ?? "";
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /https?:|\*|connect-src/);
});

Deno.test("hostile text stays text wherever it stands", async () => {
  const html = await renderPage({
    title: HOSTILE,
    lead: HOSTILE,
    sections: [{
      heading: HOSTILE,
      text: HOSTILE,
      table: [[HOSTILE, "b"], [HOSTILE, 1]],
      figures: [{ ...FIGURE, title: HOSTILE, table: [[HOSTILE], [HOSTILE]] }],
      warnings: [HOSTILE],
      code: HOSTILE,
      samples: [{ ...SAMPLE, id: HOSTILE, prompt: HOSTILE }],
    }],
    environment: { ...NOWHERE, cpu: HOSTILE },
  });
  const { markup, scripts } = split(html);
  assert.doesNotMatch(markup, /<img/);
  assert.equal(markup.split(escapeHtml(HOSTILE)).length - 1, 15);
  // Two scripts, as on any page: none was broken out of, none was added.
  assert.equal(scripts.length, 2);
  // Either would change how a browser finds the end of a script.
  for (const script of scripts) assert.doesNotMatch(script, /<\/script|<!--/i);
});

Deno.test("the figures' data arrive as they were, hostile names too", async () => {
  const { scripts } = split(await renderPage(PAGE));
  const shown: unknown[][] = [];
  const Plotly = { newPlot: (...args: unknown[]) => shown.push(args) };
  new Function("Plotly", scripts[1])(Plotly);
  assert.equal(shown.length, 1);
  const [place, data, layout] = shown[0];
  assert.deepEqual([place, data, layout], ["figure0", FIGURE.data, FIGURE.layout]);
});

Deno.test("a page without figures is a page", async () => {
  const { markup } = split(await renderPage({ ...PAGE, sections: [{ heading: "Empty" }] }));
  assert.match(markup, /<h2>Empty<\/h2>/);
  assert.doesNotMatch(markup, /class="figures"/);
});

Deno.test("warnings, a command line, samples and long cells stand in forms of their own", async () => {
  const long = "one 1.0.0, ".repeat(9);
  const { markup } = split(
    await renderPage({
      ...PAGE,
      sections: [{
        heading: "All",
        warnings: ["One thing.", "Another."],
        code: "deno task eval --out 'a b'",
        samples: [SAMPLE],
        table: [["packages"], [long], ["short"]],
      }],
    }),
  );
  for (
    const part of [
      '<ul class="warnings"><li>One thing.</li><li>Another.</li></ul>',
      '<pre class="code">deno task eval --out &#39;a b&#39;</pre>',
      '<mark title="round 1: 8 drafted"> it is</mark>',
      `<td class="long">${long}</td></tr><tr><td>short</td>`,
    ]
  ) assert.ok(markup.includes(part), part);
});

Deno.test("on paper figures get the width of half a page, and the screen's again afterwards", async () => {
  const { scripts } = split(await renderPage(PAGE));
  const listeners: Record<string, () => void> = {}, widths: (number | null)[] = [];
  const window = { addEventListener: (name: string, f: () => void) => listeners[name] = f };
  const document = { querySelectorAll: () => ["plot"] };
  const Plotly = {
    newPlot: () => {},
    relayout: (_: unknown, { width }: { width: number | null }) => widths.push(width),
  };
  new Function("Plotly", "globalThis", "document", scripts[1])(Plotly, window, document);
  listeners.beforeprint();
  listeners.afterprint();
  assert.deepEqual(widths, [330, null]);
});
