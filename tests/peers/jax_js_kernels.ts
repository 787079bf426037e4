/**
 * jax-js's side of `deno task bench kernels --vs`: the same calls on its WebGPU backend, jitted, on the same adapter.
 * A JSON object a line: open a job, run it some times. Not a part of the project: the package comes as an argument.
 */
import { TextLineStream } from "../../lib/bench/lines.ts";

// Arrays of jax-js are consumed by every use; `.ref` keeps one for another use.
// deno-lint-ignore no-explicit-any
type Any = any;
const jax: Any = await import(Deno.args[0]);
const { numpy: np, nn } = jax;
const say = (value: unknown) => console.log(JSON.stringify(value));
const devices: string[] = await jax.init("webgpu");
if (!devices.includes("webgpu")) {
  say({ error: "jax-js found no WebGPU adapter" });
  Deno.exit(1);
}
jax.defaultDevice("webgpu");

interface Request {
  op: "open" | "run";
  job: string;
  call: string;
  transA?: boolean;
  transB?: boolean;
  shapes: Record<string, number[]>;
  times: number;
}

/** Heads second, as ours; theirs come third. */
const attend = ({ q, k, v }: Any) => {
  const turn = (x: Any) => np.transpose(x, [0, 2, 1, 3]);
  return nn.dotProductAttention(turn(q), turn(k), turn(v), { isCausal: true });
};

const CALLS: Record<string, (x: Any, r: Request) => Any> = {
  matmul: ({ a, b }, { transA, transB }) =>
    np.matmul(transA ? a.transpose() : a, transB ? b.transpose() : b),
  softmax: ({ x }) => nn.softmax(x, -1),
  crossEntropy: ({ x, p }) => np.sum(nn.logSoftmax(x, -1).mul(p), -1).mul(-1),
  rmsNorm: ({ x, w }) =>
    x.ref.div(np.sqrt(np.mean(np.square(x), -1, { keepdims: true }).add(1e-5))).mul(w),
  gated: ({ a, b }) => nn.silu(a).mul(b),
  attention: (x) => attend(x),
  attentionGradient: (x) => jax.grad((given: Any) => np.sum(attend(given)))(x),
  sumRows: ({ x }) => np.sum(x, 0),
  argmax: ({ x }) => np.argmax(x, -1),
  adamw: ({ p, g, m, v, s: _ }) => {
    const clipped = np.clip(g, -0.5, 0.5);
    const first = m.mul(0.9).add(clipped.ref.mul(0.1));
    const second = v.mul(0.95).add(np.square(clipped).mul(0.05));
    const size = np.sqrt(second.ref.div(0.5)).add(1e-8);
    return [p.sub(first.ref.div(0.5).div(size).mul(0.001)), first, second];
  },
};

/** Runs that are waited for at once. */
const TOGETHER = 16;
const jobs = new Map<string, (times: number) => Promise<void>>();

function open(request: Request): void {
  const call = CALLS[request.call];
  if (call === undefined) throw new Error(`no ${request.call} here`);
  const names = Object.keys(request.shapes);
  const given: Any = Object.fromEntries(names.map((name) => {
    const size = request.shapes[name].reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: size }, () => 0.1 + Math.random());
    return [name, np.array(data, { shape: request.shapes[name] })];
  }));
  const jitted = jax.jit((x: Any) => call(x, request));
  const refs = () => Object.fromEntries(names.map((name) => [name, given[name].ref]));
  jobs.set(request.job, async (times) => {
    // What is disposed of before it was waited for is never computed: keep a handful at a time.
    for (let done = 0; done < times; done += TOGETHER) {
      const made = Array.from({ length: Math.min(TOGETHER, times - done) }, () => jitted(refs()));
      await jax.blockUntilReady(made);
      for (const old of jax.tree.leaves(made)) old.dispose();
    }
  });
}

say({ name: `jax-js ${Deno.args[0].split("@").at(-1)}, webgpu` });
const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream())
  .pipeThrough(new TextLineStream());
for await (const line of lines) {
  try {
    const request: Request = JSON.parse(line);
    if (request.op === "open") open(request);
    else await jobs.get(request.job)!(request.times);
    say({});
  } catch (error) {
    say({ error: String(error) });
  }
}
