/**
 * Simulated traffic for a chat server over HTTP: clients that ask, wait, read, go away at any moment, read slowly, are
 * refused and come again, until the time is over. It checks what it gets: greedy answers to a question are the same for
 * everybody, and whole. Used by the load test and by `deno task bench chat`.
 */
import { type Random, random } from "../random.ts";

export interface TrafficOptions {
  clients: number;
  /** How long new questions are asked, milliseconds. */
  ms: number;
  questions: readonly string[];
  maxTokens: number;
  /** Of the behaviour. */
  seed: number;
  /** Name of the model. */
  model: string;
  /** Pause of a client between two questions at most, milliseconds. */
  pauseMs?: number;
  signal?: AbortSignal;
}

/** What the clients saw. */
export interface Traffic {
  answered: number;
  tokens: number;
  /** Refused because the line was full; they try again. */
  refused: number;
  /** Gone away on purpose, in the line or while they were answered. */
  left: number;
  /** Most places before a client. */
  longestLine: number;
  /** Milliseconds to the first token of those that were answered, and to the last. */
  firstMs: number[];
  wholeMs: number[];
  /** What should not be: answers that differ, answers that broke off. */
  wrong: string[];
  lost: string[];
}

interface Read {
  text: string;
  isWhole: boolean;
  tokens: number;
  firstMs: number;
}

const pause = (ms: number) => new Promise<void>((go) => setTimeout(go, ms));

/** Reads an answer's stream; `slowly`: with pauses, as over a bad line. */
async function readAnswer(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  { slowly, onPlace }: { slowly: boolean; onPlace: (place: number) => void },
): Promise<Read> {
  const read: Read = { text: "", isWhole: false, tokens: 0, firstMs: NaN },
    began = performance.now();
  let rest = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    if (slowly) await pause(5);
    const lines = (rest + part).split("\n\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const place = /^: place (\d+)$/.exec(line)?.[1];
      if (place !== undefined) onPlace(Number(place));
      if (line === "data: [DONE]") read.isWhole = true;
      if (!line.startsWith("data: {")) continue;
      const { choices, usage, error } = JSON.parse(line.slice(6));
      if (error !== undefined) throw new Error(error.message);
      if (Number.isNaN(read.firstMs)) read.firstMs = performance.now() - began;
      read.text += choices[0]?.delta.content ?? "";
      read.tokens = usage?.completion_tokens ?? read.tokens;
    }
  }
  return read;
}

/** One client's life. */
async function client(
  address: string,
  { questions, maxTokens, model, pauseMs = 200, until, from, seen, answers, signal }:
    & Omit<TrafficOptions, "clients" | "ms" | "seed">
    & { until: number; from: Random; seen: Traffic; answers: Map<string, string> },
): Promise<void> {
  while (performance.now() < until && !signal?.aborted) {
    await pause(from.uniform() * pauseMs);
    const question = from.choose(questions), away = new AbortController();
    // One of six goes away: at once, in the line, or in the midst of its answer.
    const leaves = from.uniform() < 1 / 6, began = performance.now();
    const timer = leaves ? setTimeout(() => away.abort(), from.uniform() * 1500) : undefined;
    try {
      const response = await fetch(new URL("v1/chat/completions", address), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model,
          messages: [{ role: "user", content: question }],
          temperature: 0,
          max_tokens: maxTokens,
          stream: true,
          stream_options: { include_usage: true },
        }),
        signal: away.signal,
      });
      if (response.status === 429) {
        seen.refused++;
        await response.body?.cancel();
        // Not as long as it was told: the test wants a full line.
        await pause(100 + 400 * from.uniform());
        continue;
      }
      if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
      const read = await readAnswer(response.body!, {
        slowly: from.uniform() < 1 / 10,
        onPlace: (place) => seen.longestLine = Math.max(seen.longestLine, place),
      });
      if (!read.isWhole) throw new Error("the answer ended before its end");
      const known = answers.get(question);
      answers.set(question, known ?? read.text);
      if (known !== undefined && known !== read.text) {
        seen.wrong.push(`${question}: ${read.text.slice(0, 80)}, before: ${known.slice(0, 80)}`);
      }
      seen.answered++;
      seen.tokens += read.tokens;
      seen.firstMs.push(read.firstMs);
      seen.wholeMs.push(performance.now() - began);
    } catch (cause) {
      if (away.signal.aborted) seen.left++;
      else seen.lost.push(`${question}: ${(cause as Error).message}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Lets the clients loose on a server and waits until the last has its answer. */
export async function traffic(
  address: string,
  { clients, ms, seed, ...options }: TrafficOptions,
): Promise<Traffic> {
  const seen: Traffic = {
    answered: 0,
    tokens: 0,
    refused: 0,
    left: 0,
    longestLine: 0,
    firstMs: [],
    wholeMs: [],
    wrong: [],
    lost: [],
  };
  const until = performance.now() + ms, answers = new Map<string, string>();
  await Promise.all(Array.from({ length: clients }, (_, i) => {
    const from = random(seed, "client", `${i}`);
    return client(address, { ...options, until, from, seen, answers });
  }));
  return seen;
}
