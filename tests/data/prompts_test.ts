/** Tests lib/data/prompts.ts: parts do not overlap, prompts are reproducible. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { PARTS, takePrompts } from "../../lib/data/prompts.ts";

const text = (p: { messages: { content: string }[] }) => p.messages[0].content;

Deno.test("no text twice, within a part or across parts", () => {
  const all = PARTS.flatMap((part) => takePrompts(part, { count: part === "train" ? 4000 : 400 }));
  equal(new Set(all.map(text)).size, all.length);
  equal(new Set(all.map((p) => p.id)).size, all.length);
});

Deno.test("a prompt depends on seed and place, not on the count", () => {
  deepEqual(takePrompts("train", { count: 50 }).slice(0, 10), takePrompts("train", { count: 10 }));
  ok(
    text(takePrompts("train", { count: 1 })[0]) !==
      text(takePrompts("train", { count: 1, seed: 1 })[0]),
  );
});

Deno.test("kinds alternate; word problems carry a positive whole answer", () => {
  const some = takePrompts("evaluation", { count: 200 });
  ok(some.every((p, i) => p.kind === (i % 2 === 0 ? "word-problem" : "function")));
  for (const p of some.filter((p) => p.kind === "word-problem")) {
    ok(
      Number.isInteger(Number(p.reference)) && Number(p.reference) > 0,
      `${text(p)}: ${p.reference}`,
    );
  }
});
