/**
 * Replies with a tiny model: both sides say what decoding says, pieces join to the text without half a character, the
 * rows are a trace, nothing is held afterwards however a reply ends.
 */
import assert from "node:assert/strict";
import { generate } from "../../lib/decode/generate.ts";
import { reply, type ReplyEvent, type ReplyRequest, type Side } from "../../lib/serve/reply.ts";
import { parseTrace } from "../../lib/report/trace.ts";
import { replyRequest, type TinyModel, tinyModel } from "./world.ts";

async function collect(
  model: TinyModel,
  changes: Partial<ReplyRequest> = {},
): Promise<ReplyEvent[]> {
  return await Array.fromAsync(reply(model, replyRequest(model, changes)));
}

const of = (events: ReplyEvent[], side: Side) => events.filter((e) => e.side === side);
const idsOf = (events: ReplyEvent[]) =>
  events.flatMap(({ row }) => row.type === "end" ? [] : row.tokens);
const textOf = (events: ReplyEvent[]) => events.flatMap((e) => e.pieces).join("");

Deno.test("both sides say what the target says by itself, and the pieces are its text", async () => {
  using model = await tinyModel();
  const { target, tokenizer } = model, request = replyRequest(model, { maxTokens: 120 });
  const wanted: number[] = [];
  for await (const event of generate(target, request.prompt, { maxTokens: 120 })) {
    if (event.type !== "end") wanted.push(...event.tokens);
  }
  const events = await collect(model, { mode: "both", maxTokens: 120 });
  for (const side of ["plain", "speculative"] as const) {
    const own = of(events, side);
    assert.deepEqual(idsOf(own), wanted, side);
    assert.equal(textOf(own), tokenizer.decode(wanted), side);
    const end = own.at(-1)!.row;
    assert.ok(end.type === "end" && end.reason === "length limit");
  }
});

Deno.test("no piece holds half a character, sampled from all tokens", async () => {
  using model = await tinyModel();
  const sampling = { temperature: 2, topK: 0, topP: 1 };
  const events = await collect(model, { sampling, tree: "auto", maxTokens: 300 });
  const ids = idsOf(events), whole = model.tokenizer.decode(ids);
  assert.equal(textOf(events), whole);
  assert.ok(whole.includes("\uFFFD"), "such text has bytes that are no characters");
  for (const { row, pieces } of events) {
    if (row.type !== "end") assert.equal(pieces.length, row.tokens.length);
    for (const piece of pieces) assert.ok(piece.isWellFormed());
  }
  // Held back until it is known that they are none: no piece but the last ends with one.
  const ends = events.flatMap((e) => e.pieces).filter((piece) => piece.endsWith("\uFFFD"));
  assert.ok(ends.length <= 1);
});

Deno.test("side by side, the side whose clock is behind goes on", async () => {
  using model = await tinyModel();
  const events = await collect(model, { mode: "both", maxTokens: 60 });
  const clock = { plain: 0, speculative: 0 }, over = new Set<Side>();
  for (const { side, row, ms } of events) {
    const other = side === "plain" ? "speculative" : "plain";
    if (!over.has(other)) assert.ok(clock[side] <= clock[other], `${side} went on while ahead`);
    assert.ok(ms >= clock[side]);
    clock[side] = ms;
    if (row.type === "end") over.add(side);
  }
  assert.ok(clock.plain > 0 && clock.speculative > 0);
});

Deno.test("the rows are a trace, and every token in it has its text", async () => {
  using model = await tinyModel();
  const events = await collect(model, { mode: "both", trace: true });
  const { generations } = parseTrace(events.map(({ row }) => `${JSON.stringify(row)}\n`).join(""));
  assert.equal(generations.length, 2);
  assert.deepEqual(generations.map((g) => g.start.settings.method), ["plain", "speculative"]);
  const texts = Object.assign({}, ...events.map((e) => e.texts ?? {}));
  for (const { trace } of generations[1].rounds) {
    for (const id of [...trace!.tokens, ...trace!.choices]) {
      assert.equal(texts[id], model.tokenizer.decode([id], { special: true }));
    }
  }
  // Each is told once.
  const told = events.flatMap((e) => Object.keys(e.texts ?? {}));
  assert.equal(new Set(told).size, told.length);
});

Deno.test("rounds tell how likely the target's own token was", async () => {
  using model = await tinyModel();
  const sampling = { temperature: 1, topK: 8, topP: 1 };
  const told: number[] = [];
  for (const { row } of await collect(model, { sampling, trace: true, maxTokens: 60 })) {
    if (row.type === "round") told.push(row.trace!.extra!);
  }
  // Drawn from eight tokens: possible ones, never certain, and not all alike.
  assert.ok(told.length > 10 && told.every((p) => p > 0 && p < 1), told.join());
  assert.ok(new Set(told).size > 5);
});

Deno.test("the same seed gives the same text, another one another", async () => {
  using model = await tinyModel();
  const sampling = { temperature: 1, topK: 0, topP: 1 },
    ask = (seed: number) => collect(model, { sampling, seed });
  const [a, b, c] = [await ask(1), await ask(1), await ask(2)].map(idsOf);
  assert.deepEqual(a, b);
  assert.notDeepEqual(a, c);
});

Deno.test("stopped, returned or failed: nothing is held and the model goes on", async () => {
  using model = await tinyModel();
  await collect(model, { mode: "both", maxTokens: 100 });
  const held = model.held(), abort = new AbortController();
  const request = replyRequest(model, { maxTokens: 2000, mode: "both" });
  let after = 0, aborted = false;
  for await (const { row } of reply(model, request, { signal: abort.signal })) {
    if (aborted && row.type === "round") after++;
    if (row.type === "round" && row.round === 5) {
      abort.abort();
      aborted = true;
    }
  }
  assert.ok(after <= 2, `${after} rounds after it was stopped`);
  assert.equal(model.held(), held, "stopped");
  for await (const { row } of reply(model, request)) if (row.type === "round") break;
  assert.equal(model.held(), held, "returned");
  const sampling = { temperature: -1, topK: 0, topP: 1 };
  await assert.rejects(collect(model, { sampling }), /Cannot sample at temperature -1/);
  assert.equal(model.held(), held, "failed");
  assert.ok((await collect(model)).length > 2);
});
