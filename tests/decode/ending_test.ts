/** When generations end, and where exactly what they emit is cut. */
import assert from "node:assert/strict";
import { Ending, type StopOptions, textBeforeStop } from "../../lib/decode/ending.ts";

/** Tokens are bytes: a character may take several. */
const decode = (tokens: number[]) => new TextDecoder().decode(Uint8Array.from(tokens));
const bytes = (text: string) => [...new TextEncoder().encode(text)];
const END = 0;

/** Emits a text in rounds of these sizes. */
function emit(text: string, options: StopOptions, { size = 3, room = 1000 } = {}) {
  const ending = new Ending(options, { eos: [END], room }),
    tokens = bytes(text),
    out: number[] = [];
  for (let at = 0; at < tokens.length && ending.reason === undefined; at += size) {
    out.push(...ending.take(tokens.slice(at, at + size)));
  }
  return [decode(out), ending.reason];
}

Deno.test("a stop string ends the text with the token that completes it, however rounds fall", () => {
  const stop = { strings: ["###", "Ende"], decode };
  for (const size of [1, 2, 3, 5, 100]) {
    assert.deepEqual(emit("abc### def", { stop }, { size }), ["abc###", "stop string"]);
    assert.deepEqual(emit("am Ende ###", { stop }, { size }), ["am Ende", "stop string"]);
    assert.deepEqual(emit("no stop ## # En", { stop }, { size }), ["no stop ## # En", undefined]);
  }
});

Deno.test("stop strings of several bytes are found when their last byte is there", () => {
  const stop = { strings: ["\u00fcber\u{1F600}"], decode };
  for (const size of [1, 2, 4, 7]) {
    const [text, reason] = emit("x \u00fcber \u00fcber\u{1F600} y", { stop }, { size });
    assert.deepEqual([text, reason], ["x \u00fcber \u00fcber\u{1F600}", "stop string"]);
  }
});

Deno.test("a stop string is found far into a text too", () => {
  const stop = { strings: ["stop"], decode }, long = "a".repeat(500);
  assert.deepEqual(emit(`${long}stop it`, { stop, maxTokens: 999 }), [
    `${long}stop`,
    "stop string",
  ]);
});

Deno.test("end and stop tokens, the length limit and the positions cut within a round", () => {
  assert.deepEqual(emit("ab\0cd", {}), ["ab\0", "end token"]);
  assert.deepEqual(emit("abcd", { stopTokens: bytes("c") }), ["abc", "stop token"]);
  assert.deepEqual(emit("abcdef", { maxTokens: 4 }), ["abcd", "length limit"]);
  assert.deepEqual(emit("abcdef", {}, { room: 5 }), ["abcde", "positions"]);
  // What comes first wins; at the same token the model's own end does.
  assert.deepEqual(emit("ab\0", { maxTokens: 3 }), ["ab\0", "end token"]);
  assert.deepEqual(emit("abc", { maxTokens: 3 }, { room: 3 }), ["abc", "length limit"]);
});

Deno.test("an abort ends between rounds", () => {
  const abort = new AbortController(),
    ending = new Ending({ signal: abort.signal }, { eos: [], room: 9 });
  assert.deepEqual(ending.take([1, 2]), [1, 2]);
  assert.equal(ending.reason, undefined);
  abort.abort();
  assert.deepEqual(ending.take([3, 4]), [3, 4]);
  assert.equal(ending.reason, "abort");
});

Deno.test("limits out of range are refused", () => {
  const make = (options: StopOptions) => () => new Ending(options, { eos: [], room: 9 });
  assert.throws(make({ maxTokens: 0 }), /generate 0 tokens: wanted a whole number from 1/);
  assert.throws(make({ maxTokens: 1.5 }), /generate 1.5 tokens/);
  assert.throws(make({ stop: { strings: ["a", ""], decode } }), /empty string/);
});

Deno.test("the text before the first stop string", () => {
  assert.equal(textBeforeStop("one two three", ["three", "two"]), "one ");
  assert.equal(textBeforeStop("one", ["two"]), "one");
});
