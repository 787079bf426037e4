/**
 * The page's modules that draw nothing: an answer as it grows, its numbers and exports, conversations in storage,
 * events from text in parts. The page itself is driven in `chat_page_test.ts`.
 */
import assert from "node:assert/strict";
import { acceptanceByDepth, tau as tauOf } from "../../lib/eval/metrics.ts";
import { parseTrace, toGeneration } from "../../lib/report/trace.ts";
import * as answers from "../../lib/serve/page/answer.js";
import { takeEvents } from "../../lib/serve/page/client.js";
import { Conversations, titleFrom } from "../../lib/serve/page/conversations.js";
import { reply } from "../../lib/serve/reply.ts";
import { replyRequest, tinyModel } from "./world.ts";

/** An answer of both sides, as the page takes it. */
async function answer() {
  using model = await tinyModel();
  const request = replyRequest(model, { mode: "both", trace: true, maxTokens: 60 });
  const message = {
    role: "assistant",
    content: "",
    sides: {} as Record<string, ReturnType<typeof answers.newSide>>,
  };
  for await (const event of reply(model, request)) {
    const side = message.sides[event.side] ??= answers.newSide();
    answers.takeEvent(side, JSON.parse(JSON.stringify(event)));
  }
  return message;
}

Deno.test("an answer's numbers are those of its trace", async () => {
  const message = await answer();
  const { generations } = parseTrace(answers.traceText([message]));
  assert.deepEqual(generations.map((g) => g.start.settings.method), ["plain", "speculative"]);
  const { sums, pieces, rows } = message.sides.speculative, own = toGeneration(generations[1]);
  assert.equal(answers.tau(sums), tauOf([own]).value);
  assert.equal(sums.tokens, own.tokens.length);
  const depths = sums.depths.map((
    d: { accepted: number; reached: number },
  ) => [d.accepted, d.reached]);
  assert.deepEqual(depths, acceptanceByDepth([own]).map((r) => [r.numerator, r.denominator]));
  // Each piece knows where it came from.
  assert.equal(pieces.length, own.tokens.length);
  const accepted = pieces.filter(([, kind]) => kind === "a");
  const emitted = generations[1].rounds.reduce(
    (n, r) => n + Math.min(r.accepted, r.tokens.length),
    0,
  );
  assert.equal(accepted.length, emitted);
  for (const [, , depth, draft, target] of accepted) {
    assert.ok(
      depth >= 1 && draft! > 0 && draft! <= 1 && target! > 0,
      `${depth} ${draft} ${target}`,
    );
  }
  for (const [, kind, , draft, target] of pieces.slice(1)) {
    if (kind !== "a") assert.deepEqual([draft, target], [null, 1], "greedy: the target is certain");
  }
  assert.equal(answers.treesOf(message.sides.speculative).length, rows.length - 2);
  assert.ok(message.sides.plain.pieces.every(([, kind]) => kind === "p"));
});

Deno.test("Markdown says who said what, sides apart", async () => {
  const message = await answer();
  const text = answers.markdown({
    title: "T",
    messages: [{ role: "user", content: "Q" }, message],
  });
  assert.match(text, /^# T\n\n\*\*You\*\*\n\nQ\n\n\*\*Model, plain\*\* \(\d+\.\d\d s\)\n\n/);
  assert.ok(text.includes(answers.textOf(message.sides.speculative)));
});

/** A storage with room for so many characters. */
class Room {
  #values = new Map<string, string>();
  constructor(readonly most = Infinity) {}
  get length() {
    return this.#values.size;
  }
  key = (i: number) => [...this.#values.keys()][i];
  getItem = (key: string) => this.#values.get(key) ?? null;
  removeItem = (key: string) => void this.#values.delete(key);
  setItem(key: string, value: string) {
    const others = [...this.#values].filter(([k]) => k !== key);
    const used = others.reduce((n, [k, v]) => n + k.length + v.length, key.length + value.length);
    if (used > this.most) throw new DOMException("full", "QuotaExceededError");
    this.#values.set(key, value);
  }
}

const conversation = (id: string, messages: unknown[]) => ({ id, title: id, changed: 0, messages });

Deno.test("conversations come back with colours and numbers, without trees", async () => {
  const kept = new Conversations(new Room()), message = await answer();
  assert.ok(kept.put(conversation("a", [{ role: "user", content: "Q" }, message])));
  const [, back] = kept.get("a").messages;
  assert.deepEqual(back.sides.speculative.pieces, message.sides.speculative.pieces);
  assert.deepEqual(back.sides.speculative.sums, message.sides.speculative.sums);
  assert.deepEqual([back.sides.speculative.rows, answers.traceText([back])], [[], ""]);
  assert.deepEqual(kept.list().map((c) => c.id), ["a"]);
  kept.remove("a");
  assert.deepEqual([kept.get("a"), kept.list()], [undefined, []]);
});

Deno.test("what is broken or not ours is left alone", () => {
  const room = new Room(), kept = new Conversations(room);
  room.setItem("griffin-lab.chat.x", "{");
  room.setItem("griffin-lab.chat.y", '{"id":1}');
  room.setItem("other", "1");
  room.setItem("griffin-lab.settings", "[");
  assert.deepEqual([kept.list(), kept.settings, room.length], [[], {}, 4]);
  assert.deepEqual([kept.idOf("griffin-lab.chat.x"), kept.idOf("other"), kept.idOf(null)], [
    "x",
    undefined,
    undefined,
  ]);
});

Deno.test("when room runs out, old colours go first, then old conversations, never the newest text", async () => {
  const message = await answer(), size = JSON.stringify(message.sides.speculative.pieces).length;
  const kept = new Conversations(new Room(6 * size));
  const clock = Date.now;
  try {
    for (let i = 0; i < 40; i++) {
      Date.now = () => i;
      assert.ok(kept.put(conversation(`c${i}`, [message])), `c${i}`);
      const [newest] = kept.list();
      assert.equal(newest.id, `c${i}`);
      assert.equal(answers.contentOf(kept.get(newest.id).messages[0]), answers.contentOf(message));
    }
  } finally {
    Date.now = clock;
  }
  const list = kept.list();
  assert.ok(list.length > 2 && list.length < 40, `${list.length} of 40 are left`);
  assert.equal(kept.get("c0"), undefined);
  assert.equal(
    kept.put(conversation("huge", [{ role: "user", content: "x".repeat(7 * size) }])),
    false,
  );
});

Deno.test("events are taken whole, comments skipped, the rest waits", () => {
  const { events, rest } = takeEvents(': alive\n\ndata: {"a":1}\n\ndata: {"b"');
  assert.deepEqual([events, rest], [[{ a: 1 }], 'data: {"b"']);
});

Deno.test("titles are the first line, shortened between characters", () => {
  assert.equal(titleFrom("  Hello\nthere"), "Hello");
  assert.equal(titleFrom("🙂".repeat(50)), `${"🙂".repeat(39)}…`);
  assert.equal(titleFrom(" \n "), "New chat");
});
