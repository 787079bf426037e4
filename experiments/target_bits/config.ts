/**
 * What does the target lose when its matrices are in 8 or 4 bits? All targets read the same texts, which the f32 target
 * wrote after held-out prompts, greedily and at temperature 1; then each decodes with the shipped draft, which was
 * trained on the f32 one. What fewer bits do to speed is measured by tasks: `deno task eval --target-bits 8`,
 * `deno task bench decoding`.
 */
import {
  type Counts,
  decodePrompts,
  type Experiment,
  generate,
  type Lab,
  loadTarget,
  type Measure,
  processLogits,
  random,
  readDraft,
  record,
  TargetDecoder,
  tau,
} from "../../lib/mod.ts";
import { EIGHT, SEEDS, SMALL } from "../settings.ts";

const CHUNK = 64, PLAIN = { temperature: 1, topK: 0, topP: 1 };

/** Logits [L V] after each token of a text but the last, the prompt before it read first. */
async function readText(target: TargetDecoder, prompt: Int32Array, text: readonly number[]) {
  using cache = target.newCache();
  const all = new Float32Array(text.length * target.target.config.vocabulary);
  const { logits } = await target.prefill(prompt, cache);
  all.set(logits);
  for (let at = 0; at < text.length - 1; at += CHUNK) {
    const chunk = text.slice(at, Math.min(at + CHUNK, text.length - 1));
    const { logits: rows } = await target.forwardChain(chunk, cache);
    all.set(rows, (at + 1) * logits.length);
  }
  return all;
}

/** Sums over a text: loss of its tokens, KL divergence from the exact target, rows with the same best token. */
function compareRows(
  wanted: Float32Array,
  found: Float32Array,
  { text, vocabulary: v }: { text: readonly number[]; vocabulary: number },
) {
  const p = new Float64Array(v), q = new Float64Array(v);
  let loss = 0, divergence = 0, same = 0;
  for (const [row, token] of text.entries()) {
    const a = wanted.subarray(row * v, (row + 1) * v), b = found.subarray(row * v, (row + 1) * v);
    processLogits(a, PLAIN, p);
    processLogits(b, PLAIN, q);
    loss -= Math.log(q[token]);
    let best = 0, other = 0;
    for (let i = 0; i < v; i++) {
      if (p[i] > 0) divergence += p[i] * Math.log(p[i] / q[i]);
      if (a[i] > a[best]) best = i;
      if (b[i] > b[other]) other = i;
    }
    if (best === other) same++;
  }
  return { loss, divergence, same };
}

const measure: Measure<Lab> = async ({ name }, { seed, settings, lab, signal }) => {
  const { backend, target } = lab, { maxTokens, prompts } = settings;
  using exact = new TargetDecoder(target, { backend });
  const bits = ({ f32: 32, "8 bits": 8, "4 bits": 4 } as const)[name as "f32"];
  using own = bits !== 32
    ? new TargetDecoder(await loadTarget(target.folder, { backend, bits }), { backend })
    : undefined;
  const draft = await readDraft("data/draft", { target }), decoded = own?.target ?? target;
  const counts: Record<string, Counts[]> = {};
  const add = (of: string, sum: number, tokens: number) => (counts[of] ??= []).push([sum, tokens]);
  const drafting = { target: decoded, backend, maxTokens, signal, ...EIGHT };
  for await (const one of decodePrompts(draft, { ...drafting, prompts: lab.prompts(prompts) })) {
    const { numerator, denominator } = tau([one]);
    add("tau", numerator, denominator);
  }
  for (const [i, prompt] of lab.prompts(prompts).entries()) {
    for (const temperature of [1, 0]) {
      signal?.throwIfAborted();
      const sampling = { temperature, topK: 0, topP: 1 };
      const options = { sampling, maxTokens, random: random(seed, "target bits", i) };
      const { tokens: text } = await record(generate(exact, prompt, options));
      const wanted = await readText(exact, prompt, text);
      const found = own === undefined ? wanted : await readText(own, prompt, text);
      const { vocabulary } = target.config;
      const { loss, divergence, same } = compareRows(wanted, found, { text, vocabulary });
      if (temperature === 0) add("same best token, greedy", same, text.length);
      else {
        add("loss a token", loss, text.length);
        add("KL a token", divergence, text.length);
        add("same best token", same, text.length);
      }
    }
  }
  return counts;
};

export default {
  name: "target_bits",
  question: "What does the target lose when its matrices are in 8 or 4 bits?",
  arms: [{ name: "f32" }, { name: "8 bits" }, { name: "4 bits" }],
  base: "f32",
  seeds: SEEDS,
  settings: { ...SMALL, maxTokens: 64, trees: {} },
  measure,
} satisfies Experiment<Lab>;
