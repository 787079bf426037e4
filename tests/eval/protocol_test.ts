/** Tests lib/eval/protocol.ts: the tree in the authors' flags, and the system prompt by the writing of a chat template. */
import { deepEqual, equal, match } from "node:assert/strict";
import { join } from "node:path";
import { fromAuthorsFlags } from "../../lib/decode/growth.ts";
import { familyPrompt, PAPER_OPTIONS } from "../../lib/eval/protocol.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";

Deno.test("the paper's tree is that of the scripts' flags", () => {
  const [budget, depth, width] = PAPER_OPTIONS.tree.split("/").map(Number);
  const flags = { totalTokens: 60, depth: 5, topK: 10 };
  deepEqual({ budget, depth, width }, fromAuthorsFlags(flags));
});

Deno.test("families are known by their templates", async () => {
  const { chatTemplate } = await loadTokenizer(join(import.meta.dirname!, "../../data/target"));
  const llama = familyPrompt(chatTemplate)!;
  equal(llama.family, "LLaMA-3");
  match(llama.system!, /^You are a helpful, respectful and honest assistant\./);
  const template = (text: string) => familyPrompt(`{{ bos_token }}{% for m in messages %}${text}`);
  deepEqual(template("<s>[INST] <<SYS>>\n"), { family: "LLaMA-2", system: llama.system });
  deepEqual(template("[INST] "), { family: "Mistral" });
  deepEqual(template("<|im_start|>"), { family: "Qwen", system: "You are a helpful assistant." });
  match(
    template("USER: x ASSISTANT:")!.system!,
    /^A chat between a curious user and .* questions\.$/,
  );
  equal(template("<|user|>"), undefined);
  equal(familyPrompt(undefined), undefined);
});
