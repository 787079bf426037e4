/** Sides decode in turn, and what is said of their speed follows from what they report. */
import assert from "node:assert/strict";
import { compareSides, type Side } from "../../lib/bench/decoding_speed.ts";

const PROMPTS = [Int32Array.of(1), Int32Array.of(2), Int32Array.of(3)];

/** A side that takes so many milliseconds a token, and writes its prompt `length` times. */
function side(
  name: string,
  { kind = "greedy", ms = 1, length = 11, odd = -1, log = [] as string[] },
): Side {
  return {
    name,
    kind,
    decode(prompt, index) {
      log.push(`${name}${prompt[0]}`);
      const tokens = Array.from({ length }, () => index === odd ? 9 : prompt[0]);
      return Promise.resolve({ tokens, decodeMs: ms * (length - 1) });
    },
  };
}

async function compare(sides: Side[], rounds = 1) {
  const run = compareSides(sides, PROMPTS, { rounds }), steps: number[] = [];
  for (;;) {
    const { value, done } = await run.next();
    if (done) return { steps, speeds: value };
    steps.push(value);
  }
}

Deno.test("sides take turns on every prompt, after one text that does not count", async () => {
  const log: string[] = [];
  const { steps } = await compare([side("a", { log }), side("b", { log })], 2);
  const once = ["a1", "b1", "a2", "b2", "a3", "b3"];
  assert.deepEqual(log, ["a1", "b1", ...once, ...once]);
  assert.deepEqual(steps, [1, 2, 3, 4, 5, 6]);
});

Deno.test("speed is time after the first token; texts are compared within their kind", async () => {
  const { speeds } = await compare([
    side("plain", { ms: 4 }),
    side("fast", { ms: 2, odd: 1 }),
    side("warm", { kind: "temperature 1", ms: 8 }),
  ]);
  const told = speeds.map((s) => [s.name, s.msPerToken, s.tokensPerSecond, s.same, s.texts]);
  assert.deepEqual(told, [["plain", 4, 250, 3, 3], ["fast", 2, 500, 2, 3], ["warm", 8, 125, 3, 3]]);
});

Deno.test("texts too short to time are left out", async () => {
  const mixed: Side = {
    name: "mixed",
    kind: "greedy",
    decode: (_, index) =>
      Promise.resolve(
        index === 0
          ? { tokens: [1, 2], decodeMs: 500 }
          : { tokens: new Array(21).fill(0), decodeMs: 40 },
      ),
  };
  const { speeds: [{ msPerToken, texts }] } = await compare([mixed]);
  assert.deepEqual([msPerToken, texts], [2, 3]);
});
