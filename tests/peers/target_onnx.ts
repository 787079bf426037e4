/**
 * A target as the ONNX file that transformers.js runs: token ids in, logits out, a cache that grows by
 * concatenation, named as in published exports, f32 weights inside. Two layouts: `standard` has the operators that
 * Optimum's exporter writes, attention spelled out; `fused` those of ONNX Runtime's model builder, in which the quick
 * models on model hubs are made (GroupQueryAttention with rotary tables). Only for the peer beside; the project's own
 * Programs have fixed sizes and share their caches in place.
 */
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import {
  encodeModel,
  type OnnxAttribute,
  type OnnxInitializer,
  type OnnxNode,
  type OnnxValueInfo,
} from "../../lib/backend/onnx/protobuf.ts";
import { readTargetConfig } from "../../lib/model/config.ts";

/** [O, I] to [I, O]: a published matrix multiplies from the right here. */
function transposed(w: Float32Array, [outer, inner]: readonly number[]): Float32Array {
  const out = new Float32Array(w.length);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) out[i * outer + o] = w[o * inner + i];
  }
  return out;
}

export type Layout = "standard" | "fused";

/** The model file of a target folder. @throws as reading the folder does. */
export async function targetOnnx(
  folder: string,
  { layout }: { layout: Layout },
): Promise<Uint8Array<ArrayBuffer>> {
  const config = await readTargetConfig(folder);
  using file = openCheckpoint(folder);
  const { width: d, inner, heads, kvHeads, headSize: k, vocabulary, layers, positions } = config;
  const nodes: OnnxNode[] = [], initializers: OnnxInitializer[] = [];
  const outputs: OnnxValueInfo[] = [
    { name: "logits", type: "f32", shape: [], dims: ["batch_size", "sequence_length", vocabulary] },
  ];
  const inputs: OnnxValueInfo[] = [
    { name: "input_ids", type: "i64", shape: [], dims: ["batch_size", "sequence_length"] },
    {
      name: "attention_mask",
      type: "i64",
      shape: [],
      dims: ["batch_size", "total_sequence_length"],
    },
  ];
  let count = 0;
  const op = (
    name: string,
    from: readonly string[],
    { attributes = {}, domain = "", to = [`v${count++}`] }: {
      attributes?: Record<string, OnnxAttribute>;
      domain?: string;
      to?: string[];
    } = {},
  ) => {
    nodes.push({ op: name, domain, inputs: from, outputs: to, attributes });
    return to[0];
  };
  const fixed = (name: string, data: Float32Array, shape: readonly number[]) => {
    initializers.push({ name, type: "f32", shape, data });
    return name;
  };
  const i64 = (name: string, values: number[]) => {
    const data = BigInt64Array.from(values.map(BigInt));
    initializers.push({ name, type: "i64", shape: [values.length], data });
    return name;
  };
  const matrix = (x: string, name: string, shape: [number, number]) =>
    op("MatMul", [x, fixed(name, transposed(file.readFloat32(name), shape), shape.toReversed())]);
  const norm = (x: string, name: string) =>
    op("SimplifiedLayerNormalization", [x, fixed(name, file.readFloat32(name), [d])], {
      attributes: { epsilon: { float: config.epsilon }, axis: { int: -1 } },
    });
  const table = (f: (angle: number) => number) =>
    Float32Array.from({ length: positions * k / 2 }, (_, i) => {
      const position = Math.floor(2 * i / k), j = i % (k / 2);
      return f(position / config.ropeTheta ** (2 * j / k));
    });
  const cos = fixed("cos_cache", table(Math.cos), [positions, k / 2]);
  const sin = fixed("sin_cache", table(Math.sin), [positions, k / 2]);
  const int = (value: number) => ({ int: value });
  const scalar = (name: string, value: number) => fixed(name, Float32Array.of(value), []);

  /** Attention spelled out: rotation, the grown cache, repeated key heads, masked scores. */
  function spelledOut(
    [q, key, value]: string[],
    { past, present }: { past: string[]; present: string[] },
  ): string {
    const heads4 = (x: string, n: number) =>
      op("Transpose", [op("Reshape", [x, split(n)])], {
        attributes: { perm: { ints: [0, 2, 1, 3] } },
      });
    const rotated = (x: string) => {
      const [a, b] = [`v${count++}`, `v${count++}`];
      op("Split", [x], { attributes: { axis: int(-1), num_outputs: int(2) }, to: [a, b] });
      const turned = op("Concat", [op("Neg", [b]), a], { attributes: { axis: int(-1) } });
      return op("Add", [op("Mul", [x, angles().cos]), op("Mul", [turned, angles().sin])]);
    };
    const query = rotated(heads4(q, heads));
    const grown = [rotated(heads4(key, kvHeads)), heads4(value, kvHeads)].map((fresh, i) =>
      op("Concat", [past[i], fresh], { attributes: { axis: int(2) }, to: [present[i]] })
    );
    const [keys, values] = heads === kvHeads ? grown : grown.map((x) => {
      const wide = op("Expand", [op("Unsqueeze", [x, axes("axis_2", [2])]), repeats()]);
      return op("Reshape", [wide, merged()]);
    });
    const across = op("Transpose", [keys], { attributes: { perm: { ints: [0, 1, 3, 2] } } });
    const scaled = op("Mul", [op("MatMul", [query, across]), scale()]);
    const weights = op("Softmax", [op("Add", [scaled, hidden()])], {
      attributes: { axis: int(-1) },
    });
    const context = op("Transpose", [op("MatMul", [weights, values])], {
      attributes: { perm: { ints: [0, 2, 1, 3] } },
    });
    return op("Reshape", [context, flat()]);
  }
  /** Made when first asked for, and then kept. */
  const once = <T>(make: () => T) => {
    let made: T | undefined;
    return () => made ??= make();
  };
  const axes = (name: string, values: number[]) =>
    initializers.some((i) => i.name === name) ? name : i64(name, values);
  const split = (n: number) => axes(`split_${n}`, [0, 0, n, k]);
  const flat = once(() => i64("flat", [0, 0, heads * k]));
  const repeats = once(() => i64("repeats", [1, 1, heads / kvHeads, 1, 1]));
  const merged = once(() => i64("merged", [0, heads, -1, k]));
  const scale = once(() => scalar("scale", 1 / Math.sqrt(k)));
  const positionIds = once(() => {
    inputs.push({
      name: "position_ids",
      type: "i64",
      shape: [],
      dims: ["batch_size", "sequence_length"],
    });
    return "position_ids";
  });
  const angles = once(() => {
    const of = (half: string) => {
      const both = op("Concat", [half, half], { attributes: { axis: int(-1) } });
      return op("Unsqueeze", [op("Gather", [both, positionIds()]), axes("axis_1", [1])]);
    };
    return { cos: of(cos), sin: of(sin) };
  });
  /** Added to scores: -inf where a key lies after its query. */
  const hidden = once(() => {
    const count = op("Gather", [op("Shape", ["attention_mask"]), scalarIndex()]);
    const at = op("Range", [zero(), count, step()]);
    const query = op("Unsqueeze", [positionIds(), axes("axes_13", [1, 3])]);
    const later = op("Greater", [at, query]);
    return op("Where", [later, scalar("minus_infinity", -Infinity), scalar("none", 0)]);
  });
  const scalarInt = (name: string, value: number) => () => {
    if (!initializers.some((i) => i.name === name)) {
      initializers.push({ name, type: "i64", shape: [], data: BigInt64Array.of(BigInt(value)) });
    }
    return name;
  };
  const zero = scalarInt("zero", 0),
    step = scalarInt("step", 1),
    scalarIndex = scalarInt("second", 1);
  // How many rows each sequence has, less one, and how many the longest has.
  const counts = once(() => {
    const lengths = op("ReduceSum", ["attention_mask", axes("axis_1", [1])], {
      attributes: { keepdims: int(0) },
    });
    const int32 = { attributes: { to: int(6) } };
    const total = op("Gather", [op("Shape", ["attention_mask"]), axes("axis_1", [1])]);
    return [
      op("Cast", [op("Sub", [lengths, axes("axis_1", [1])])], int32),
      op("Cast", [total], int32),
    ];
  });
  const embedding = "model.embed_tokens.weight";
  let x = op("Gather", [
    fixed(embedding, file.readFloat32(embedding), [vocabulary, d]),
    "input_ids",
  ]);
  for (let l = 0; l < layers; l++) {
    const at = `model.layers.${l}.`, w = (name: string) => `${at}${name}.weight`;
    const u = norm(x, w("input_layernorm"));
    const [q, key, value] = ["q", "k", "v"].map((name) =>
      matrix(u, w(`self_attn.${name}_proj`), [(name === "q" ? heads : kvHeads) * k, d])
    );
    const past = ["key", "value"].map((kind) => `past_key_values.${l}.${kind}`);
    const present = ["key", "value"].map((kind) => `present.${l}.${kind}`);
    for (const name of past) {
      inputs.push({
        name,
        type: "f32",
        shape: [],
        dims: ["batch_size", kvHeads, "past_sequence_length", k],
      });
    }
    for (const name of present) {
      outputs.push({
        name,
        type: "f32",
        shape: [],
        dims: ["batch_size", kvHeads, "total_sequence_length", k],
      });
    }
    const context = layout === "standard"
      ? spelledOut([q, key, value], { past, present })
      : op("GroupQueryAttention", [q, key, value, ...past, ...counts(), cos, sin], {
        attributes: {
          num_heads: int(heads),
          kv_num_heads: int(kvHeads),
          do_rotary: int(1),
          scale: { float: 1 / Math.sqrt(k) },
        },
        domain: "com.microsoft",
        to: [`context${l}`, ...present],
      });
    x = op("Add", [x, matrix(context, w("self_attn.o_proj"), [d, heads * k])]);
    const z = norm(x, w("post_attention_layernorm"));
    const gate = matrix(z, w("mlp.gate_proj"), [inner, d]);
    const silu = op("Mul", [gate, op("Sigmoid", [gate])]);
    const gated = op("Mul", [silu, matrix(z, w("mlp.up_proj"), [inner, d])]);
    x = op("Add", [x, matrix(gated, w("mlp.down_proj"), [d, inner])]);
  }
  const last = norm(x, "model.norm.weight"), head = config.tied ? embedding : "lm_head.weight";
  const headShape = [vocabulary, d], headData = transposed(file.readFloat32(head), headShape);
  op("MatMul", [last, fixed("head", headData, [d, vocabulary])], { to: ["logits"] });
  return encodeModel({ nodes, initializers, inputs, outputs });
}
