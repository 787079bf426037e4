/** Stop strings in streamed text: cut before the first, nothing of one given out, nothing else lost. */
import assert from "node:assert/strict";
import { textBeforeStop } from "../../lib/decode/ending.ts";
import { random } from "../../lib/random.ts";
import { StopText } from "../../lib/serve/stop_text.ts";

Deno.test("what may begin a stop string waits until it is known", () => {
  const text = new StopText(["END", "\n\n"]);
  assert.deepEqual(["a E", "N", "x\n", "\ny", "more"].map((t) => text.push(t)), [
    "a ",
    "",
    "ENx",
    "",
    "",
  ]);
  assert.equal(text.flush(), "");
});

Deno.test("what was held comes at the end", () => {
  const text = new StopText(["abc"]);
  assert.deepEqual([text.push("xab"), text.flush(), text.flush()], ["x", "ab", ""]);
});

Deno.test("any text in any parts is the text before the first stop", () => {
  const from = random(5, "stops"), letters = ["a", "b", "c"];
  for (let round = 0; round < 400; round++) {
    const word = (n: number) => Array.from({ length: n }, () => from.choose(letters)).join("");
    const stops = Array.from({ length: 1 + from.integer(3) }, () => word(1 + from.integer(4)));
    const whole = word(from.integer(30)), stream = new StopText(stops);
    let given = "", at = 0;
    while (at < whole.length) {
      const n = 1 + from.integer(5);
      given += stream.push(whole.slice(at, at + n));
      assert.ok(textBeforeStop(whole, stops).startsWith(given), `${whole} ${stops} gave ${given}`);
      at += n;
    }
    // A stream may see a later stop completed first: nothing after the earliest end of one is given.
    assert.ok(!stops.some((s) => (given + stream.flush()).includes(s)));
  }
});
