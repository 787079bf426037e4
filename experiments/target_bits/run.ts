/**
 * What the target loses when its matrices are in 8 bits: both targets read the same texts, which the f32 target
 * wrote (greedily, and at temperature 1) after held-out prompts. Prints a table. What 8 bits do to tau and speed is
 * measured by tasks: `deno task eval --target-bits 8`, `deno task bench decoding`.
 */
import { parseArgs } from "node:util";
import {
  encodePrompt,
  formatTable,
  generate,
  loadTarget,
  loadTokenizer,
  openOnnxBackend,
  processLogits,
  random,
  record,
  takePrompts,
  TargetDecoder,
} from "../../lib/mod.ts";

const { values: options } = parseArgs({
  options: {
    target: { type: "string", default: "data/target" },
    count: { type: "string", default: "40" },
    tokens: { type: "string", default: "128" },
  },
});
const count = Number(options.count), maxTokens = Number(options.tokens), CHUNK = 64;

using backend = await openOnnxBackend();
const tokenizer = await loadTokenizer(options.target);
const open = async (eightBit: boolean) =>
  new TargetDecoder(await loadTarget(options.target, { backend, eightBit }), { backend });
using exact = await open(false);
using rounded = await open(true);
const v = exact.target.config.vocabulary;

/** Logits [L V] after each token of a text but the last, the prompt before it read first. */
async function readText(target: TargetDecoder, prompt: Int32Array, text: readonly number[]) {
  using cache = target.newCache();
  const all = new Float32Array(text.length * v);
  all.set((await target.prefill(prompt, cache)).logits);
  for (let at = 0; at < text.length - 1; at += CHUNK) {
    const chunk = text.slice(at, Math.min(at + CHUNK, text.length - 1));
    all.set((await target.forwardChain(chunk, cache)).logits, (at + 1) * v);
  }
  return all;
}

const asTable: string[][] = [[
  "texts of the f32 target",
  "tokens",
  "perplexity, f32",
  "perplexity, 8 bits",
  "KL a token",
  "same best token",
  "logits apart, of their length",
  "furthest logit",
]];
for (const temperature of [0, 1]) {
  const sampling = { temperature, topK: 0, topP: 1 };
  const plain = { temperature: 1, topK: 0, topP: 1 };
  const p = new Float64Array(v), q = new Float64Array(v);
  let tokens = 0, exactLoss = 0, roundedLoss = 0, divergence = 0, same = 0;
  let error = 0, length = 0, furthest = 0;
  for (const { id, messages } of takePrompts("evaluation", { count })) {
    const prompt = encodePrompt(tokenizer, messages);
    const settings = { sampling, maxTokens, random: random(0, "target bits", id) };
    const text = (await record(generate(exact, prompt, settings))).tokens;
    const wanted = await readText(exact, prompt, text);
    const found = await readText(rounded, prompt, text);
    for (const [row, token] of text.entries()) {
      const a = wanted.subarray(row * v, (row + 1) * v), b = found.subarray(row * v, (row + 1) * v);
      processLogits(a, plain, p);
      processLogits(b, plain, q);
      exactLoss -= Math.log(p[token]);
      roundedLoss -= Math.log(q[token]);
      let best = 0, other = 0;
      for (let i = 0; i < v; i++) {
        if (p[i] > 0) divergence += p[i] * Math.log(p[i] / q[i]);
        if (a[i] > a[best]) best = i;
        if (b[i] > b[other]) other = i;
        const apart = b[i] - a[i];
        error += apart * apart;
        length += a[i] * a[i];
        furthest = Math.max(furthest, Math.abs(apart));
      }
      if (best === other) same++;
      tokens++;
    }
  }
  asTable.push([
    temperature === 0 ? "greedy" : `temperature ${temperature}`,
    `${tokens}`,
    Math.exp(exactLoss / tokens).toFixed(4),
    Math.exp(roundedLoss / tokens).toFixed(4),
    (divergence / tokens).toExponential(2),
    `${(100 * same / tokens).toFixed(2)} %`,
    (Math.sqrt(error / length)).toFixed(4),
    furthest.toFixed(3),
  ]);
}
console.log(formatTable(asTable));
