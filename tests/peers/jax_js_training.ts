/**
 * jax-js's side of `deno task bench training --vs`: the plain LLaMA stack on its wasm backend, one jitted step
 * of forward, backward and AdamW. Same requests as `pytorch_training.py`, a JSON object a line. Not a part of
 * the project: the package comes as an argument, so that nothing of ours depends on it.
 */
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors.ts";

// Arrays of jax-js are consumed by every use; `.ref` keeps one for another use.
// deno-lint-ignore no-explicit-any
type Any = any;
const jax: Any = await import(Deno.args[0]);
const { numpy: np, nn } = jax;
await jax.init("wasm");
jax.defaultDevice("wasm");

interface Sizes {
  layers: number;
  width: number;
  heads: number;
  batch: number;
  length: number;
  recipe: { beta1: number; beta2: number; epsilon: number; weightDecay: number };
}

function rmsNorm(x: Any, w: Any): Any {
  const inverse = np.sqrt(np.mean(np.square(x.ref), -1, { keepdims: true }).add(1e-5));
  return x.div(inverse).mul(w);
}

/** x W^T for rows x [N,I] and w [O,I]. */
const linear = (x: Any, w: Any): Any => np.matmul(x, w.transpose());

function lossOf(s: Sizes) {
  const { batch: b, length: t, width: d, heads: h } = s, k = d / h, n = b * t;
  const split = (x: Any) => x.reshape([b, t, h, k]).transpose([0, 2, 1, 3]);
  const rotate = (x: Any, cos: Any, sin: Any) => {
    const [a, c] = np.split(x.ref, 2, -1);
    return x.mul(cos).add(np.concatenate([c.neg(), a], -1).mul(sin));
  };
  return (w: Any, { x: start, target, cos, sin, hidden }: Any): Any => {
    let x = start;
    for (let l = 0; l < s.layers; l++) {
      const u = rmsNorm(x.ref, w[`${l}.norm1`]);
      const q = rotate(split(linear(u.ref, w[`${l}.q`])), cos.ref, sin.ref);
      const key = rotate(split(linear(u.ref, w[`${l}.k`])), cos.ref, sin.ref);
      const v = split(linear(u, w[`${l}.v`]));
      const scores = np.matmul(q, key.transpose([0, 1, 3, 2])).mul(k ** -0.5).add(hidden.ref);
      const context = np.matmul(nn.softmax(scores, -1), v).transpose([0, 2, 1, 3]).reshape([n, d]);
      x = x.add(linear(context, w[`${l}.o`]));
      const z = rmsNorm(x.ref, w[`${l}.norm2`]);
      const gated = nn.silu(linear(z.ref, w[`${l}.gate`])).mul(linear(z, w[`${l}.up`]));
      x = x.add(linear(gated, w[`${l}.down`]));
    }
    const logits = linear(rmsNorm(x, w.norm), w.head);
    for (const used of [cos, sin, hidden]) used.dispose?.();
    return np.sum(nn.logSoftmax(logits, -1).mul(target)).mul(-1 / n);
  };
}

function stepOf(s: Sizes) {
  const { beta1, beta2, epsilon, weightDecay } = s.recipe, loss = lossOf(s);
  return jax.jit((w: Any, first: Any, second: Any, batch: Any, schedule: Any): Any => {
    const names = Object.keys(w), kept = Object.fromEntries(names.map((k) => [k, w[k].ref]));
    const [value, g] = jax.valueAndGrad((w: Any) => loss(w, batch))(kept);
    const { rate, c1, c2 } = schedule, next: Any = { w: {}, first: {}, second: {} };
    for (const k of names) {
      const m = first[k].mul(beta1).add(g[k].ref.mul(1 - beta1));
      const v = second[k].mul(beta2).add(np.square(g[k]).mul(1 - beta2));
      const size = np.sqrt(v.ref.div(c2.ref)).add(epsilon);
      const change = m.ref.div(c1.ref).div(size).add(w[k].ref.mul(weightDecay));
      next.w[k] = w[k].sub(change.mul(rate.ref));
      next.first[k] = m;
      next.second[k] = v;
    }
    return [value, next];
  });
}

interface Job {
  step: () => Promise<{ ms: number; loss: number }>;
  save: (path: string, names: string[]) => Promise<void>;
}

function openJob(s: Sizes, path: string): Job {
  using file = openSafetensors(path);
  const { batch: b, length: t, width: d, heads: h } = s, k = d / h;
  const array = (data: Float32Array, shape: readonly number[]) =>
    np.array(data, { shape: [...shape], dtype: np.float32 });
  const read = (name: string) => array(file.readFloat32(name), file.info(name).shape);
  const w: Any = {}, first: Any = {}, second: Any = {};
  for (const name of file.names.filter((n) => n.startsWith("first."))) {
    const bare = name.slice("first.".length);
    [w[bare], first[bare], second[bare]] = [read(bare), read(name), read(`second.${bare}`)];
  }
  const ids = file.readInt("ids");
  const embedding = file.readFloat32("embedding"), x = new Float32Array(b * t * d);
  ids.forEach((id, i) => x.set(embedding.subarray(id * d, id * d + d), i * d));
  const angle = (i: number) => Math.floor(i / k) * 10000 ** (-2 * (i % (k / 2)) / k);
  const table = (f: (x: number) => number) =>
    array(Float32Array.from({ length: t * k }, (_, i) => f(angle(i))), [t, k]);
  const hidden = Float32Array.from(
    { length: t * t },
    (_, i) => i % t > Math.floor(i / t) ? -1e30 : 0,
  );
  const batch: Any = {
    x: array(x, [b * t, d]),
    target: read("target"),
    cos: table(Math.cos),
    sin: table(Math.sin),
    hidden: array(hidden, [t, t]),
  };
  const [rate, c1, c2] = file.readFloat32("schedule");
  const schedule: Any = { rate: np.array(rate), c1: np.array(c1), c2: np.array(c2) };
  const step = stepOf(s), refs = (tree: Any) => jax.tree.ref(tree);
  let state: Any = { w, first, second };
  return {
    async step() {
      const before = performance.now();
      const { w, first, second } = state;
      const [value, next] = step(w, first, second, refs(batch), refs(schedule));
      state = next;
      await jax.blockUntilReady(next);
      const [loss] = await value.data();
      return { ms: performance.now() - before, loss };
    },
    async save(path, names) {
      const tensors: Any = {};
      for (const n of names) {
        tensors[n] = { shape: state.w[n].shape, data: await state.w[n].ref.data() };
      }
      await writeSafetensors(path, tensors);
    },
  };
}

const jobs = new Map<string, Job>();
const say = (value: unknown) => console.log(JSON.stringify(value));

async function answer(request: Any): Promise<unknown> {
  const job = jobs.get(request.job);
  if (request.op === "open") {
    if (request.kind !== "stack") throw new Error(`no ${request.kind} here, only the stack`);
    jobs.set(request.job, openJob(request.sizes, request.inputs));
    return {};
  }
  if (job === undefined) throw new Error(`job ${request.job} is not open`);
  if (request.op === "step") return await job.step();
  if (request.op === "save") await job.save(request.path, request.names);
  if (request.op === "close") jobs.delete(request.job);
  return {};
}

say({ name: `jax-js ${Deno.args[0].split("@").at(-1)}, wasm`, threads: 1 });
let rest = "";
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    try {
      say(await answer(JSON.parse(line)));
    } catch (error) {
      say({ error: String(error) });
    }
  }
}
