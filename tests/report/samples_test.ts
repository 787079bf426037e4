/** Samples: which token came from whom, characters of several tokens, and both ways to show them. */
import assert from "node:assert/strict";
import {
  acceptedOf,
  fenced,
  piecesOf,
  renderSamples,
  sampleOf,
  samplesMarkdown,
} from "../../lib/report/samples.ts";

const TIMES = { draftMs: 1, verifyMs: 1, sampleMs: 0, hostMs: 0 };
const round = (emitted: number, accepted: number) => ({
  emitted,
  accepted,
  drafted: 8,
  depth: 4,
  ...TIMES,
});
/** First token; two accepted and the target's; nothing accepted; three accepted, the last two of them cut off. */
const GENERATION = {
  tokens: [1, 2, 3, 4, 5, 6],
  prefillMs: 0,
  decodeMs: 3,
  rounds: [round(3, 2), round(1, 0), round(1, 3)],
};
const WORDS = ["", "A", " b", " c", "<d>", "\n", " f"];
const decode = (ids: readonly number[]) => ids.map((id) => WORDS[id]).join("");

Deno.test("each token with its text, round and source", () => {
  assert.deepEqual(piecesOf(GENERATION, decode), [
    { text: "A", round: 0, source: "first" },
    { text: " b", round: 1, source: "accepted" },
    { text: " c", round: 1, source: "accepted" },
    { text: "<d>", round: 1, source: "target" },
    { text: "\n", round: 2, source: "target" },
    { text: " f", round: 3, source: "accepted" },
  ]);
});

Deno.test("a character of several tokens stands with its last one; broken bytes at the end are shown", () => {
  const bytes = [0xe2, 0x82, 0xac, 0x41, 0xe2];
  const text = (ids: readonly number[]) =>
    new TextDecoder().decode(Uint8Array.from(ids, (i) => bytes[i]));
  const generation = { ...GENERATION, tokens: [0, 1, 2, 3, 4], rounds: [round(4, 3)] };
  const pieces = piecesOf(generation, text);
  assert.deepEqual(pieces.map((p) => p.text), ["", "", "€", "A", "\uFFFD"]);
});

const SAMPLE = sampleOf(GENERATION, { suite: "s", id: "q<1>", prompt: "Why & how?", decode });

Deno.test("a sample counts what was accepted", () => {
  assert.deepEqual(acceptedOf(SAMPLE), { accepted: 3, tokens: 6 });
  assert.deepEqual(SAMPLE.drafted, [8, 8, 8]);
});

Deno.test("on a page accepted tokens are marked with their round, and all text is escaped", () => {
  const html = renderSamples([SAMPLE]);
  assert.ok(
    html.includes('<mark title="round 1: 8 drafted"> b c</mark>&lt;d&gt;\n<mark title="round 3'),
  );
  assert.ok(html.includes('<i title="first token, from the prompt">A</i>'), html);
  assert.ok(html.includes("s, q&lt;1&gt;: 3 of 6 tokens") && html.includes("Why &amp; how?"));
  assert.equal(renderSamples([]), "");
});

Deno.test("in Markdown accepted tokens stand in brackets, in a fence that the text cannot end", () => {
  assert.ok(samplesMarkdown([SAMPLE]).includes("```\nA⟦ b c⟧<d>\n⟦ f⟧\n```"));
  assert.equal(fenced("a ```` b", "ts"), "`````ts\na ```` b\n`````");
});
