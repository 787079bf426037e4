/**
 * transformers.js's side of `deno task bench decoding --vs`: `generate()` on the same target, from an ONNX export of
 * it (`target_onnx.ts`), on the CPU, a JSON object a line. Not a part of the project: the package comes as an
 * argument, so that nothing of ours depends on it.
 */
import { type Layout, targetOnnx } from "./target_onnx.ts";

// deno-lint-ignore no-explicit-any
type Any = any;
const [packageName, folder, layout] = Deno.args as [string, string, Layout];
const { AutoModelForCausalLM, Tensor, env }: Any = await import(packageName);

/** The target's folder as transformers.js wants it: its configuration, and `onnx/model.onnx`. */
async function layOut(from: string): Promise<string> {
  const made = await Deno.makeTempDir({ prefix: "transformers-js-" });
  await Deno.mkdir(`${made}/target/onnx`, { recursive: true });
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (isFile && name.endsWith(".json")) {
      await Deno.copyFile(`${from}/${name}`, `${made}/target/${name}`);
    }
  }
  await Deno.writeFile(`${made}/target/onnx/model.onnx`, await targetOnnx(from, { layout }));
  return made;
}

const place = await layOut(folder);
env.allowRemoteModels = false;
env.localModelPath = place;
const model = await AutoModelForCausalLM.from_pretrained("target", {
  dtype: "fp32",
  device: "cpu",
});
await Deno.remove(place, { recursive: true });

/** Notes when the prompt and each token have been put out. */
class Clock {
  readonly times: number[] = [];
  put(): void {
    this.times.push(performance.now());
  }
  end(): void {}
}

async function generate({ ids, maxTokens, eos, temperature }: Any): Promise<unknown> {
  const n = ids.length, clock = new Clock(), before = performance.now();
  const tensor = (values: bigint[]) => new Tensor("int64", BigInt64Array.from(values), [1, n]);
  const out = await model.generate({
    inputs: tensor(ids.map(BigInt)),
    attention_mask: tensor(ids.map(() => 1n)),
    max_new_tokens: maxTokens,
    eos_token_id: eos,
    ...(temperature > 0
      ? { do_sample: true, temperature, top_k: 0, top_p: 1 }
      : { do_sample: false }),
    streamer: clock,
  });
  const tokens = Array.from(out.data as BigInt64Array, Number).slice(n);
  // The prompt is put out first, then a token at a time.
  const [, first] = clock.times, last = clock.times.at(-1)!;
  return { tokens, prefillMs: first - before, decodeMs: last - first };
}

const say = (value: unknown) => console.log(JSON.stringify(value));
say({ name: `transformers.js ${packageName.split("@").at(-1)}, ${layout} export` });
let rest = "";
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    try {
      say(await generate(JSON.parse(line)));
    } catch (error) {
      say({ error: String(error) });
    }
  }
}
