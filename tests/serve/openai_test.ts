/** OpenAI's API as its official client meets it: whole and streamed answers, usage, stops, errors, retries. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { openWorld, question, type World } from "./world.ts";

type Speculating = { speculation: Record<string, number | string | null> };

async function withClient(use: (client: OpenAI, world: World) => Promise<void>): Promise<void> {
  await using world = await openWorld({ waiting: 1 });
  const baseURL = `${world.server.address}v1`;
  await use(new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 }), world);
}

const messages = [{ role: "user" as const, content: "Tell me a number." }];
const ask = { model: "tiny", messages, max_tokens: 40, seed: 7 };

Deno.test("models are listed and found", async () => {
  await withClient(async (client) => {
    const { data } = await client.models.list();
    assert.deepEqual(data.map((m) => [m.id, m.object]), [["tiny", "model"]]);
    assert.equal((await client.models.retrieve("tiny")).owned_by, "griffin-lab");
    await assert.rejects(client.models.retrieve("huge"), OpenAI.NotFoundError);
  });
});

Deno.test("a whole answer has text, reason, usage and numbers of speculation", async () => {
  await withClient(async (client, { model }) => {
    const answer = await client.chat.completions.create(ask);
    const [{ message, finish_reason }] = answer.choices;
    assert.deepEqual([answer.object, message.role, finish_reason], [
      "chat.completion",
      "assistant",
      "length",
    ]);
    assert.match(answer.id, /^chatcmpl-[0-9a-f]{32}$/);
    const usage = answer.usage!;
    assert.equal(usage.completion_tokens, 40);
    assert.equal(usage.total_tokens, usage.prompt_tokens + 40);
    const { speculation } = answer as unknown as Speculating;
    const { tau, rounds, drafted, accepted } = speculation as Record<string, number>;
    // The first token is the prompt's; every other one a round's, the last round perhaps cut.
    assert.ok(Math.abs(tau * rounds - 39) < 1e-9);
    assert.ok(drafted > accepted && accepted >= 39 - rounds, JSON.stringify(speculation));
    const plain = await client.chat.completions.create(
      { ...ask, speculation: false } as typeof ask,
    );
    assert.equal(plain.choices[0].message.content, message.content);
    assert.equal((plain as unknown as Speculating).speculation.drafted, 0);
    assert.ok(model.held() > 0);
  });
});

Deno.test("a streamed answer is the whole one in parts, usage last", async () => {
  await withClient(async (client) => {
    const whole = await client.chat.completions.create(ask);
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    const parts = [];
    for await (const part of stream) parts.push(part);
    const text = parts.map((p) => p.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(parts[0].choices[0].delta.role, "assistant");
    assert.equal(new Set(parts.map((p) => p.id)).size, 1);
    const [finish, last] = parts.slice(-2);
    assert.equal(finish.choices[0].finish_reason, "length");
    assert.equal((finish as unknown as Speculating).speculation.mode, "speculative");
    assert.deepEqual(last.choices, []);
    assert.deepEqual(last.usage, whole.usage);
    assert.ok(parts.slice(0, -1).every((p) => p.usage === null));
    // The client's own helper understands it too.
    const runner = client.chat.completions.stream({ ...ask, stream: true });
    assert.equal(await runner.finalContent(), text);
  });
});

Deno.test("sampling: the same seed gives the same text, streamed or not", async () => {
  await withClient(async (client) => {
    const settings = { ...ask, temperature: 1, top_p: 0.9 };
    const a = await client.chat.completions.create(settings);
    const runner = client.chat.completions.stream({ ...settings, stream: true });
    assert.equal(await runner.finalContent(), a.choices[0].message.content);
    const b = await client.chat.completions.create({ ...settings, seed: 8 });
    assert.notEqual(b.choices[0].message.content, a.choices[0].message.content);
  });
});

Deno.test("stop strings end the answer and are not in it", async () => {
  await withClient(async (client) => {
    const free = (await client.chat.completions.create(ask)).choices[0].message.content!;
    const stop = free.slice(20, 24), before = free.slice(0, free.indexOf(stop));
    const stopped = await client.chat.completions.create({ ...ask, stop: ["never this", stop] });
    assert.equal(stopped.choices[0].message.content, before);
    assert.equal(stopped.choices[0].finish_reason, "stop");
    assert.ok(stopped.usage!.completion_tokens < 40);
    const runner = client.chat.completions.stream({ ...ask, stop, stream: true });
    assert.equal(await runner.finalContent(), before);
  });
});

Deno.test("errors are the client's own kinds, with code and parameter", async () => {
  await withClient(async (client) => {
    const fails = async (
      changes: Record<string, unknown>,
      wanted: { kind: unknown; code: string | null; param: string },
    ) => {
      const asked = client.chat.completions.create({ ...ask, ...changes } as typeof ask);
      await assert.rejects(asked, (cause) => {
        assert.ok(
          cause instanceof OpenAI.APIError && cause instanceof (wanted.kind as typeof Error),
        );
        assert.deepEqual([cause.code, cause.param], [wanted.code, wanted.param]);
        return true;
      });
    };
    const kind = OpenAI.BadRequestError;
    await fails({ temperature: 9 }, { kind, code: null, param: "temperature" });
    await fails({ n: 3 }, { kind, code: "unsupported_parameter", param: "n" });
    await fails({ model: "gpt" }, {
      kind: OpenAI.NotFoundError,
      code: "model_not_found",
      param: "model",
    });
    const long = [{ role: "user", content: "word ".repeat(4000) }];
    await fails({ messages: long }, { kind, code: "context_length_exceeded", param: "messages" });
  });
});

Deno.test("a full line is 429 with Retry-After, which the client obeys", async () => {
  await withClient(async (client, { server, post }) => {
    const away = new AbortController();
    const long = { ...ask, max_tokens: 2000, stream: true };
    const streams = [
      post("/v1/chat/completions", long, away),
      post("/v1/chat/completions", long, away),
    ];
    for (const stream of await Promise.all(streams)) assert.equal(stream.status, 200);
    await assert.rejects(client.chat.completions.create(ask), (cause) => {
      assert.ok(cause instanceof OpenAI.RateLimitError);
      assert.ok(Number(cause.headers.get("retry-after")) >= 1);
      return true;
    });
    assert.equal(server.desk.counts.refused, 1);
    const patient = client.chat.completions.create(ask, { maxRetries: 3 });
    setTimeout(() => away.abort(), 50);
    assert.equal((await patient).usage!.completion_tokens, 40);
  });
});

Deno.test("a client that goes away stops its answer, streamed or not", async () => {
  await withClient(async (client, { server: { desk }, post }) => {
    for (const stream of [true, false]) {
      const away = new AbortController(), tokens = desk.counts.tokens;
      const asked = post(
        "/v1/chat/completions",
        { ...question("Hi"), max_tokens: 2000, stream },
        away,
      );
      asked.then((r) => r.text()).catch(() => {}); // it is cut off
      while (desk.counts.tokens < tokens + 20) await new Promise((go) => setTimeout(go, 1));
      away.abort();
      await client.chat.completions.create(ask);
      assert.ok(desk.counts.tokens - tokens < 1500, `${desk.counts.tokens - tokens} tokens`);
    }
    assert.equal(desk.counts.stopped, 2);
  });
});
