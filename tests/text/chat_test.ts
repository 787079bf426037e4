/** Tests lib/text/chat.ts: rows of griffin.md section 3, on one and many turns, and templates that cannot serve. */
import { deepEqual, doesNotThrow, equal, ok, throws } from "node:assert/strict";
import { random } from "../../lib/random.ts";
import {
  checkMask,
  encodeConversation,
  encodePrompt,
  lossMask,
  type Message,
} from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

const tokenizer = await loadTokenizer("data/target");

Deno.test("mask of a reply at [3, 7) of 8 tokens: rows 2, 3, 4", () => {
  deepEqual([...lossMask(8, [{ start: 3, end: 7 }])], [0, 0, 1, 1, 1, 0, 0, 0]);
  deepEqual([...lossMask(2, [{ start: 1, end: 2 }])], [0, 0]);
});

Deno.test("the prompt ends where the reply begins", () => {
  const messages: Message[] = [{ role: "user", content: "Hi" }];
  const prompt = encodePrompt(tokenizer, messages);
  const { ids, replies } = encodeConversation(tokenizer, [
    ...messages,
    { role: "assistant", content: "Hello you" },
  ]);
  equal(replies[0].start, prompt.length);
  deepEqual([...ids.subarray(0, prompt.length)], [...prompt]);
  equal(ids[replies[0].end - 1], 4094);
});

Deno.test("invariants on 200 random conversations", () => {
  const words = ["sum", "apples", "def", "12", "return", "x", "the", "shop", "\n", "🙂"];
  const header = 4092;
  for (let n = 0; n < 200; n++) {
    const from = random(n, "chats"), messages: Message[] = [];
    if (from.uniform() < 0.3) messages.push({ role: "system", content: "be brief" });
    for (let turn = 0; turn <= from.integer(3); turn++) {
      const text = () =>
        Array.from({ length: 1 + from.integer(12) }, () => from.choose(words)).join(" ");
      messages.push({ role: "user", content: text() }, { role: "assistant", content: text() });
    }
    const { ids, mask, replies } = encodeConversation(tokenizer, messages);
    equal(mask.length, ids.length);
    equal(mask.at(-1), 0);
    for (const { start, end } of replies) {
      // A reply of the end-of-turn token alone has no row that predicts it from a reply token.
      if (end - start === 1) continue;
      // First trained row: the last prompt token. Last one: predicts the end-of-turn token.
      deepEqual([mask[start - 2], mask[start - 1]], [0, 1]);
      deepEqual([mask[end - 3], mask[end - 2]], [1, 0]);
    }
    mask.forEach((m, t) => ok(m === 0 || ids[t + 2] !== header, `row ${t} predicts a header`));
  }
});

Deno.test("templates that cannot serve are refused by name", () => {
  const messages: Message[] = [{ role: "user", content: "a" }, { role: "assistant", content: "b" }];
  const counting = {
    ...tokenizer,
    chatTemplate: "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
  };
  throws(
    () => encodeConversation(counting, messages),
    /chat template of data\/target: rendering turn 1/,
  );
  throws(
    () => encodePrompt({ ...tokenizer, chatTemplate: undefined }, messages),
    /data\/target has no chat_template in tokenizer_config\.json, wanted one there or in chat_t/,
  );
});

/** The tokenizer with another template. */
const templated = (chatTemplate: string) => ({ ...tokenizer, chatTemplate });
const turns = (...contents: string[]): Message[] =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
const TURN = "'<|start_header_id|>' + m.content + '<|eot_id|>'";

Deno.test("rows of a two-turn conversation, by hand", () => {
  const { ids, mask, replies } = encodeConversation(tokenizer, turns("a", "b", "c", "d"));
  const text = (from: number, to: number) =>
    tokenizer.decode(ids.slice(from, to), { special: true });
  deepEqual(replies.map(({ start, end }) => text(start, end)), ["b<|eot_id|>", "d<|eot_id|>"]);
  // One letter and the end token: the only row is the last prompt token's, which predicts the end token.
  deepEqual([...mask.keys()].filter((t) => mask[t] === 1), replies.map((r) => r.start - 1));
  for (const { start } of replies) equal(ids[start - 1 + 2], 4094);
});

Deno.test("an end token before the reply does not end it", () => {
  const only = "{% for m in messages %}{{ '<|start_header_id|>' + m.content }}" +
    "{% if m.role == 'user' %}{{ '<|eot_id|>' }}{% endif %}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|start_header_id|>' }}{% endif %}";
  const { ids, mask, replies } = encodeConversation(templated(only), turns("a", "b c d e f"));
  equal(replies[0].end, ids.length);
  ok(mask.includes(1));
});

Deno.test("text that a template puts after the end token is not trained", () => {
  const trailing = `{% for m in messages %}{{ ${TURN} + '!!' }}{% endfor %}` +
    "{% if add_generation_prompt %}{{ '<|start_header_id|>' }}{% endif %}";
  const { ids, replies: [{ end }] } = encodeConversation(templated(trailing), turns("a", "b c d"));
  equal(ids[end - 1], 4094);
  ok(end < ids.length);
});

Deno.test("a template that rewrites earlier turns is refused, also where prompt and reply agree", () => {
  const forgetful = "{% for m in messages %}" +
    "{% if loop.index > 2 or not (add_generation_prompt or messages[-1].role == 'assistant') " +
    `or messages | length < 3 %}{{ ${TURN} }}{% endif %}{% endfor %}` +
    "{% if add_generation_prompt %}{{ '<|start_header_id|>' }}{% endif %}";
  doesNotThrow(() => encodeConversation(templated(forgetful), turns("a", "b")));
  throws(
    () => encodeConversation(templated(forgetful), turns("a", "b", "c", "d")),
    /rendering turn 3 changes token 1 of what came before/,
  );
});

Deno.test("a reply that merges with the end of its prompt is refused", () => {
  const gluing = "{% for m in messages %}{{ m.content }}{% endfor %}";
  throws(
    () => encodeConversation(templated(gluing), turns("app", "les")),
    /chat template of data\/target: rendering turn 1 changes token/,
  );
});

Deno.test("a system turn is not rendered alone; a template's own refusal is passed on", () => {
  const strict =
    "{% if messages[-1].role == 'system' %}{{ raise_exception('no user') }}{% endif %}" +
    `{% for m in messages %}{{ ${TURN} }}{% endfor %}` +
    "{% if add_generation_prompt %}{{ '<|start_header_id|>' }}{% endif %}";
  const system: Message = { role: "system", content: "s" };
  equal(encodeConversation(templated(strict), [system, ...turns("a", "b")]).replies.length, 1);
  throws(
    () => encodePrompt(templated(strict), [system]),
    /Cannot render 1 messages with the chat template of data\/target: no user/,
  );
  throws(() => encodePrompt(templated("{% for %}"), turns("a")), /Cannot render 1 messages with/);
});

Deno.test("what follows the last reply is encoded and not trained", () => {
  const whole = encodeConversation(tokenizer, turns("a", "b c d", "e"));
  const short = encodeConversation(tokenizer, turns("a", "b c d"));
  deepEqual(whole.ids.slice(0, short.ids.length), short.ids);
  ok(whole.ids.length > short.ids.length);
  deepEqual(
    [...whole.mask.keys()].filter((t) => whole.mask[t]),
    [...short.mask.keys()].filter((t) => short.mask[t]),
  );
  ok(!encodeConversation(tokenizer, turns("a")).mask.includes(1));
});

Deno.test("masks that break a promise are refused by their first wrong row", () => {
  const replies = [{ start: 3, end: 7 }], right = [0, 0, 1, 1, 1, 0, 0, 0];
  doesNotThrow(() => checkMask(Uint8Array.from(right), replies));
  const wrong: [number[], RegExp][] = [
    [[0, 0, 0, 1, 1, 0, 0, 0], /row 2 holds 0, wanted 1/], // not from the last prompt token
    [[0, 0, 1, 1, 1, 1, 0, 0], /row 5 holds 1, wanted 0/], // predicts what follows the end token
    [[0, 0, 1, 1, 1, 0, 0, 1], /the last row, 7, is trained/],
  ];
  for (const [mask, wanted] of wrong) {
    throws(() => checkMask(Uint8Array.from(mask), replies), wanted);
  }
  throws(() => checkMask(new Uint8Array(8), []), /none of its 8 rows is trained/);
});
