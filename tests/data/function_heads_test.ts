/** Tests lib/data/function_heads.ts: well-formed heads, many different ones. */
import { match, ok } from "node:assert/strict";
import { functionHead } from "../../lib/data/function_heads.ts";
import { random } from "../../lib/random.ts";

Deno.test("heads are a signature and a docstring", () => {
  const heads = new Set<string>();
  for (let i = 0; i < 1000; i++) {
    const head = functionHead(random(3, i));
    match(head, /^def _?[a-z_]+\((self, )?[a-z]+(, \w+=[^)]+)?\):\n {4}"""[A-Z][^"]*"""$/);
    heads.add(head);
  }
  ok(heads.size > 900, `${heads.size} different heads of 1000`);
});
