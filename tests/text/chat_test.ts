/** Tests lib/text/chat.ts: rows of griffin.md section 3, on one and many turns, and templates that cannot serve. */
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { random } from "../../lib/random.ts";
import { encodeConversation, encodePrompt, lossMask, type Message } from "../../lib/text/chat.ts";
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
    /data\/target has no chat_template/,
  );
});
