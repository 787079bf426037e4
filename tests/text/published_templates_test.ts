/** Tests lib/text/published_templates.ts: Vicuna's conversations against FastChat's rule, written out by hand. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { join } from "node:path";
import { familyPrompt } from "../../lib/eval/protocol.ts";
import { type Message, renderChat } from "../../lib/text/chat.ts";
import { PUBLISHED_TEMPLATES, readTemplate } from "../../lib/text/published_templates.ts";

const SYSTEM =
  "A chat between a curious user and an artificial intelligence assistant. The assistant " +
  "gives helpful, detailed, and polite answers to the user's questions.";
const tokenizer = {
  folder: "vicuna",
  chatTemplate: PUBLISHED_TEMPLATES.vicuna,
  bosToken: "<s>",
  eosToken: "</s>",
};
const said = (...texts: string[]): Message[] =>
  texts.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
const render = (messages: Message[], addGenerationPrompt = true) =>
  renderChat(tokenizer, messages, { addGenerationPrompt });

Deno.test("Vicuna: a blank after the system's text and each question, the end token after each answer", () => {
  equal(render(said("Hi")), `<s>${SYSTEM} USER: Hi ASSISTANT:`);
  equal(
    render(said("Hi", "Hello", " two\nlines")),
    `<s>${SYSTEM} USER: Hi ASSISTANT: Hello</s>USER:  two\nlines ASSISTANT:`,
  );
  equal(render(said("Hi", "Hello"), false), `<s>${SYSTEM} USER: Hi ASSISTANT: Hello</s>`);
  const own: Message[] = [{ role: "system", content: "Be kind." }, ...said("Hi")];
  equal(render(own), "<s>Be kind. USER: Hi ASSISTANT:");
  deepEqual(familyPrompt(tokenizer.chatTemplate), { family: "Vicuna", system: SYSTEM });
});

Deno.test("a template is read by its name or from a file", async () => {
  equal(await readTemplate("vicuna"), tokenizer.chatTemplate);
  const file = join(await Deno.makeTempDir(), "chat.jinja");
  await Deno.writeTextFile(file, "{{ messages }}");
  equal(await readTemplate(file), "{{ messages }}");
  await rejects(readTemplate("nobody"), /Cannot read the chat template nobody: wanted vicuna or a/);
});
