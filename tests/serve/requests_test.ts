/** Bodies of requests: what is taken, what is refused and by which name, before anything runs. */
import assert from "node:assert/strict";
import type { ChatModel } from "../../lib/serve/reply.ts";
import { readRequest, RequestError } from "../../lib/serve/requests.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { DEFAULTS } from "./world.ts";

const tokenizer = await loadTokenizer("data/target");
/** As much of a model as reading needs. */
const model = {
  name: "tiny",
  tokenizer,
  target: { target: { config: { positions: 64 } } },
} as ChatModel;
const user = { role: "user", content: "Hello" };
const read = (body: unknown) => readRequest(body, { model, defaults: DEFAULTS });

function refused(
  body: unknown,
  { param, error, code }: { param: string | null; error: RegExp; code?: string },
) {
  assert.throws(() => read(body), (cause) => {
    assert.ok(cause instanceof RequestError, String(cause));
    assert.deepEqual([cause.status, cause.param], [400, param], cause.message);
    assert.match(cause.message, error);
    if (code !== undefined) assert.equal(cause.code, code);
    return true;
  });
}

Deno.test("what is left out has the server's defaults; the seed is then random", () => {
  const a = read({ messages: [user] }), b = read({ messages: [user] });
  const { temperature, topK, topP } = a.sampling;
  assert.deepEqual({ temperature, topK, topP }, DEFAULTS.sampling);
  assert.deepEqual([a.mode, a.tree, a.maxTokens, a.trace], ["speculative", "8/3/2", 24, false]);
  assert.notEqual(a.seed, b.seed);
});

Deno.test("every setting arrives", () => {
  const asked = read({
    messages: [{ role: "developer", content: "Be brief." }, {
      role: "user",
      content: [{ type: "text", text: "a" }, { type: "text", text: "b" }],
    }],
    temperature: 0.5,
    top_p: 0.9,
    top_k: 7,
    repetition_penalty: 1.1,
    max_tokens: 3,
    max_completion_tokens: 5,
    seed: -4,
    stop: ["x", "y"],
    speculation: false,
    tree: "auto",
    n: 1,
    stream_options: null,
    user: "someone",
  });
  const sampling = { temperature: 0.5, topP: 0.9, topK: 7, repetitionPenalty: 1.1 };
  assert.deepEqual(asked.sampling, sampling);
  assert.deepEqual([asked.mode, asked.maxTokens, asked.seed, asked.stop], ["plain", 5, -4, [
    "x",
    "y",
  ]]);
  const text = tokenizer.decode(asked.prompt, { special: true });
  assert.match(text, /system.*Be brief\..*user.*ab.*assistant/s);
});

Deno.test("numbers out of range are named with what was wanted", () => {
  const cases: [string, unknown][] = [
    ["temperature", -1],
    ["temperature", "1"],
    ["temperature", 2.5],
    ["top_p", 1.5],
    ["top_k", 1.5],
    ["max_tokens", 0],
    ["max_completion_tokens", -1],
    ["seed", 0.5],
    ["repetition_penalty", 0],
    ["speculation", "yes"],
    ["mode", "fast"],
    ["stop", ["a", "b", "c", "d", "e"]],
    ["stop", ""],
    ["stop", [1]],
    ["trace", 1],
  ];
  for (const [param, value] of cases) {
    refused({ messages: [user], [param]: value }, { param, error: /found .*wanted / });
  }
});

Deno.test("trees: no file, no size beyond the limits", () => {
  for (
    const tree of [
      "static:/etc/passwd",
      "authors:60/5/10",
      "65/6/10",
      "8/11/2",
      "1/1/1",
      "8/2/99",
      "a",
    ]
  ) {
    refused({ messages: [user], tree }, { param: "tree", error: /found (the|a) tree .*wanted/ });
  }
  refused({ messages: [user], tree: 5 }, { param: "tree", error: /wanted auto/ });
});

Deno.test("messages: their list, roles and parts are checked", () => {
  const cases: [unknown, string][] = [
    [undefined, "messages"],
    [[], "messages"],
    [Array(513).fill(user), "messages"],
    [[null], "messages.0"],
    [[user, { role: "tool", content: "x" }], "messages.1.role"],
    [[{ role: "__proto__", content: "x" }], "messages.0.role"],
    [[{ role: "user" }], "messages.0.content"],
    [[{ role: "user", content: [{ type: "image_url" }] }], "messages.0.content.0"],
  ];
  for (const [messages, param] of cases) refused({ messages }, { param, error: /found .*wanted / });
  refused([user], { param: null, error: /wanted a JSON object/ });
});

Deno.test("what is not supported is refused, not ignored", () => {
  const cases: [string, unknown][] = [
    ["n", 2],
    ["logprobs", true],
    ["tools", [{}]],
    ["presence_penalty", 0.5],
    ["logit_bias", { 5: 1 }],
    ["response_format", { type: "json_object" }],
    ["modalities", ["audio"]],
  ];
  for (const [param, value] of cases) {
    const code = "unsupported_parameter";
    refused({ messages: [user], [param]: value }, { param, code, error: /not supported/ });
  }
});

Deno.test("conversations longer than the model are refused, very long ones untokenised", () => {
  const code = "context_length_exceeded",
    say = (content: string) => ({ messages: [{ role: "user", content }] });
  refused(say("word ".repeat(100)), {
    param: "messages",
    code,
    error: /tokens, the model knows 64/,
  });
  refused(say("a".repeat(1e6)), { param: "messages", code, error: /1000000 characters/ });
});
