/**
 * A decoder's arithmetic in plain float64 loops, one row at a time: what the Programs of `lib/model` must
 * agree with. Written from the equations and without the graph. Not a test itself; the tests beside it use it.
 */
import type { DraftConfig, TargetConfig } from "../../lib/model/config.ts";

type Numbers = ArrayLike<number>;

/** w [O, I] times x [I]. */
export function times(w: Numbers, x: Numbers): number[] {
  const inner = x.length, out = new Array<number>(w.length / inner).fill(0);
  for (let o = 0; o < out.length; o++) {
    for (let i = 0; i < inner; i++) out[o] += w[o * inner + i] * x[i];
  }
  return out;
}

export const plus = (a: Numbers, b: Numbers): number[] => Array.from(a, (x, i) => x + b[i]);
export const product = (a: Numbers, b: Numbers): number[] => Array.from(a, (x, i) => x * b[i]);
export const silu = (x: Numbers): number[] => Array.from(x, (v) => v / (1 + Math.exp(-v)));

export function normed(x: Numbers, w: Numbers, epsilon: number): number[] {
  let square = 0;
  for (let i = 0; i < x.length; i++) square += x[i] * x[i];
  const scale = 1 / Math.sqrt(square / x.length + epsilon);
  return Array.from(x, (v, i) => v * scale * w[i]);
}

export function logSoftmax(x: readonly number[]): number[] {
  const largest = Math.max(...x);
  const sum = x.reduce((s, v) => s + Math.exp(v - largest), 0);
  return x.map((v) => v - largest - Math.log(sum));
}

/** Turns each head of x [n K] by the angles of a position; the pair of element i is i + K/2. */
export function rotate(
  x: Numbers,
  { position, headSize, theta }: { position: number; headSize: number; theta: number },
): number[] {
  const half = headSize / 2, out = Array.from(x);
  for (let head = 0; head < x.length; head += headSize) {
    for (let i = 0; i < half; i++) {
      const angle = position / theta ** (2 * i / headSize);
      // The tables are rounded to f32 wherever the Program runs.
      const cos = Math.fround(Math.cos(angle)), sin = Math.fround(Math.sin(angle));
      const a = x[head + i], b = x[head + half + i];
      out[head + i] = a * cos - b * sin;
      out[head + half + i] = b * cos + a * sin;
    }
  }
  return out;
}

/** One query row [H K] over the rows it sees, keys and values [Hk K] each. */
export function attend(
  q: Numbers,
  { keys, values, headSize: k }: { keys: Numbers[]; values: Numbers[]; headSize: number },
): number[] {
  const heads = q.length / k, group = heads / (keys[0].length / k), out: number[] = [];
  for (let h = 0; h < heads; h++) {
    const at = Math.floor(h / group) * k;
    const scores = keys.map((key) => {
      let dot = 0;
      for (let i = 0; i < k; i++) dot += q[h * k + i] * key[at + i];
      return dot / Math.sqrt(k);
    });
    const weights = logSoftmax(scores).map(Math.exp);
    for (let i = 0; i < k; i++) {
      out.push(weights.reduce((sum, w, c) => sum + w * values[c][at + i], 0));
    }
  }
  return out;
}

/** A target on a sequence of tokens: logits and features of every row. */
export function naiveTarget(
  config: TargetConfig,
  weights: (name: string) => Numbers,
  ids: readonly number[],
): { logits: number[][]; features: number[][] } {
  const { width: d, inner, heads, kvHeads, headSize, epsilon, ropeTheta: theta } = config;
  const embedding = weights("model.embed_tokens.weight");
  let rows = ids.map((id) => Array.from({ length: d }, (_, i) => embedding[id * d + i]));
  for (let l = 0; l < config.layers; l++) {
    const w = (name: string) => weights(`model.layers.${l}.${name}.weight`);
    const keys: number[][] = [], values: number[][] = [];
    rows = rows.map((x, position) => {
      const qkv = times(w("self_attn.qkv_proj"), normed(x, w("input_layernorm"), epsilon));
      const turn = (part: number[]) => rotate(part, { position, headSize, theta });
      const ends = [heads, heads + kvHeads, heads + 2 * kvHeads].map((n) => n * headSize);
      keys.push(turn(qkv.slice(ends[0], ends[1])));
      values.push(qkv.slice(ends[1], ends[2]));
      // A window counts positions, the row's own among them.
      const { size, layers } = config.window ?? { size: Infinity, layers: [] };
      const from = layers.includes(l) ? Math.max(0, position + 1 - size) : 0;
      const context = attend(turn(qkv.slice(0, ends[0])), {
        ...{ keys: keys.slice(from), values: values.slice(from), headSize },
      });
      const a = plus(x, times(w("self_attn.o_proj"), context));
      const both = times(
        w("mlp.gate_up_proj"),
        normed(a, w("post_attention_layernorm"), epsilon),
      );
      const gated = product(silu(both.slice(0, inner)), both.slice(inner));
      return plus(a, times(w("mlp.down_proj"), gated));
    });
  }
  const features = rows.map((x) => normed(x, weights("model.norm.weight"), epsilon));
  const head = config.tied ? embedding : weights("lm_head.weight");
  return { logits: features.map((f) => times(head, f)), features };
}

/** A draft on rows of tokens and features, each seeing those before it. */
export function naiveDraft(
  config: DraftConfig,
  weights: (name: string) => Numbers,
  rows: { id: number; feature: Numbers }[],
): { predict: number[]; regress: number[] }[] {
  const { width: d, epsilon, headSize, ropeTheta: theta } = config;
  const keys: number[][] = [], values: number[][] = [];
  const attention = (name: string) => weights(`layers.0.self_attn.${name}_proj.weight`);
  const mlp = (name: string) => weights(`layers.0.mlp.${name}_proj.weight`);
  return rows.map(({ id, feature }, position) => {
    const e = Array.from({ length: d }, (_, i) => weights("embed_tokens.weight")[id * d + i]);
    const h = plus(
      times(weights("fc.fc.weight"), [...e, ...Array.from(feature)]),
      weights("fc.fc.bias"),
    );
    let o = h;
    if (config.fusion === "tgf") {
      const u = normed(h, weights("fc.post_attention_layernorm.weight"), epsilon);
      const inner = (x: number[]) => normed(x, weights("fc.mlp.input_layernorm.weight"), epsilon);
      const z = times(weights("fc.mlp.up_proj.weight"), [...inner(u), ...inner(e)]);
      o = plus(h, times(weights("fc.mlp.down_proj.weight"), silu(z)));
    }
    const turn = (x: number[]) => rotate(x, { position, headSize, theta });
    keys.push(turn(times(attention("k"), o)));
    values.push(times(attention("v"), o));
    const context = attend(turn(times(attention("q"), o)), { keys, values, headSize });
    const a = plus(o, times(attention("o"), context));
    const u = normed(a, weights("layers.0.post_attention_layernorm.weight"), epsilon);
    const y = times(mlp("down"), product(silu(times(mlp("gate"), u)), times(mlp("up"), u)));
    const predict = plus(a, y);
    return { predict, regress: config.head === "dual" ? plus(a, y.slice(d)) : predict };
  });
}
