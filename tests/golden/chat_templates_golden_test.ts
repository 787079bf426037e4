/**
 * Chat templates of the families: rendered as Hugging Face transformers renders them (`make/chat_templates.py`), and
 * with loss masks that keep what griffin.md section 3 promises, on 1,000 random conversations each; or, where a template
 * says earlier turns otherwise once others follow, refused by name.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { random } from "../../lib/random.ts";
import { checkMask, encodeConversation, type Message, renderChat } from "../../lib/text/chat.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

interface Golden {
  templates: Record<string, string>;
  rendered: {
    template: string;
    messages: Message[];
    add_generation_prompt: boolean;
    text: string;
  }[];
}

const { templates, rendered }: Golden = JSON.parse(
  Deno.readTextFileSync(join(import.meta.dirname!, "own/chat_templates.json")),
);
const names = Object.keys(templates);

Deno.test("every template renders as in transformers, with and without a generation prompt", () => {
  assert.ok(rendered.length >= 8 * names.length);
  for (const { template, messages, add_generation_prompt: addGenerationPrompt, text } of rendered) {
    const tokenizer = {
      ...{ folder: template, chatTemplate: templates[template] },
      ...{ bosToken: "<s>", eosToken: "</s>" },
    };
    const found = renderChat(tokenizer, messages, { addGenerationPrompt });
    assert.equal(found, text, `${template} of ${JSON.stringify(messages)}`);
  }
});

const WORDS = [
  "sum",
  "apples",
  "def f(x):",
  "12",
  "return",
  "x",
  "the",
  "shop",
  "a\nb",
  "🙂",
  "[INST]",
];

function conversation(seed: number): Message[] {
  const from = random(seed, "templates"), messages: Message[] = [];
  const text = () =>
    Array.from({ length: 1 + from.integer(12) }, () => from.choose(WORDS)).join(" ");
  if (from.uniform() < 0.3) messages.push({ role: "system", content: text() });
  for (let turn = 0; turn <= from.integer(3); turn++) {
    messages.push({ role: "user", content: text() }, { role: "assistant", content: text() });
  }
  return messages;
}

/** Templates whose renderings of a growing conversation do not extend each other. */
const REWRITING = ["qwen3"];

const shipped = await loadTokenizer("data/target");

for (const name of REWRITING) {
  Deno.test(`several turns by ${name}, which rewrites earlier ones, are refused by name`, () => {
    const tokenizer = { ...shipped, folder: name, chatTemplate: templates[name] };
    for (let n = 0; n < 50; n++) {
      const messages = conversation(n), replies = messages.filter((m) => m.role === "assistant");
      if (replies.length === 1) encodeConversation(tokenizer, messages);
      else {
        assert.throws(
          () => encodeConversation(tokenizer, messages),
          new RegExp(`Cannot mask conversations with the chat template of ${name}: rendering turn`),
        );
      }
    }
  });
}

for (const name of names.filter((n) => !REWRITING.includes(n))) {
  Deno.test(`loss masks of 1,000 conversations by ${name} keep their promise`, () => {
    const tokenizer = { ...shipped, folder: name, chatTemplate: templates[name] };
    for (let n = 0; n < 1000; n++) {
      const messages = conversation(n);
      const { ids, mask, replies } = encodeConversation(tokenizer, messages);
      const asked = messages.filter(({ role }) => role === "assistant");
      assert.equal(replies.length, asked.length);
      checkMask(mask, replies);
      replies.forEach(({ start, end }, i) => {
        // What is learnt is the reply and the end of its turn, and nothing that the template says.
        const said = shipped.decode(ids.subarray(start, end - 1)).trim();
        assert.equal(said, asked[i].content.trim(), `reply ${i} of conversation ${n}`);
      });
    }
  });
}
