/** Tests lib/data/prompts.ts: parts do not overlap, prompts are reproducible. */
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { KINDS, type Part, PARTS, type Prompt, takePrompts } from "../../lib/data/prompts.ts";

const text = (p: Prompt) => p.messages[0].content;

Deno.test("no text twice, within a part or across parts", () => {
  const all = PARTS.flatMap((part) => takePrompts(part, { count: part === "train" ? 4000 : 800 }));
  equal(new Set(all.map(text)).size, all.length);
  equal(new Set(all.map((p) => p.id)).size, all.length);
});

Deno.test("a text belongs to the same part under every seed", () => {
  const parts = new Map<string, string>();
  let shared = 0;
  for (const seed of [0, 1, 2, 3]) {
    for (const part of PARTS) {
      for (const p of takePrompts(part, { count: 500, seed, kinds: ["function"] })) {
        const before = parts.get(text(p));
        if (before !== undefined) shared++;
        equal(before ?? part, part, text(p));
        parts.set(text(p), part);
      }
    }
  }
  // Seeds do meet in some texts, or the test would say nothing.
  ok(shared > 10, `${shared} texts under two seeds`);
});

Deno.test("a prompt depends on seed and place, not on the count or the other kind", () => {
  for (const part of PARTS) {
    const some = takePrompts(part, { count: 50 });
    deepEqual(some.slice(0, 10), takePrompts(part, { count: 10 }));
    for (const kind of KINDS) {
      deepEqual(
        some.filter((p) => p.kind === kind),
        takePrompts(part, { count: 25, kinds: [kind] }),
      );
    }
    ok(!takePrompts(part, { count: 50, seed: 1 }).some((p) => some.map(text).includes(text(p))));
  }
});

Deno.test("kinds alternate; word problems carry a positive whole answer, functions are asked for", () => {
  const some = takePrompts("evaluation", { count: 400 });
  some.forEach(({ kind, messages, reference }, i) => {
    equal(kind, KINDS[i % 2]);
    const [{ role, content }] = messages;
    deepEqual([messages.length, role], [1, "user"]);
    if (kind === "function") {
      match(content, /^Complete the code I provided\.\n\ndef \w+\([^\n]*\):\n {4}"""/);
      equal(reference, undefined);
    } else {
      match(content, /\?$/);
      ok(/^[1-9]\d*$/.test(reference!), `${content}: ${reference}`);
    }
  });
});

Deno.test("about a twentieth is for validation, a tenth for evaluation", () => {
  // The last index says how many were drawn to find them.
  const drawn = (part: Part) =>
    Number(takePrompts(part, { count: 400, kinds: ["word-problem"] }).at(-1)!.id.match(/\d+$/)![0]);
  for (
    const [part, share] of [["validation", 0.05], ["evaluation", 0.1], ["train", 0.85]] as const
  ) {
    const found = 400 / drawn(part);
    ok(Math.abs(found / share - 1) < 0.25, `${part}: ${found}`);
  }
});
