/** `deno task bench training|decoding`: times to compare, printed with what they are made of. */
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { draftForwards, targetForwards } from "../bench/decoding.ts";
import {
  GRIFFIN_SIZES,
  griffinProgram,
  randomInputs,
  stackFlops,
  stackProgram,
  STACKS,
} from "../bench/training.ts";
import { type Candidate, timeInTurn } from "../bench/timing.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import { readEnvironment } from "../report/environment.ts";
import { formatTable } from "../report/table.ts";
import { runCommand } from "./command.ts";

async function training(backend: Awaited<ReturnType<typeof openOnnxBackend>>, rounds: number) {
  const candidates: Candidate[] = [], tokens: number[] = [], flops: (number | undefined)[] = [];
  const addOne = async (name: string, program: ReturnType<typeof griffinProgram>) => {
    const executable = await backend.compile(program), inputs = randomInputs(backend, program);
    candidates.push({ name, run: () => executable.run(inputs) });
  };
  for (const s of STACKS) {
    const { layers, width, batch, length } = s;
    await addOne(`${layers} layers, D ${width}, B ${batch}, T ${length}`, stackProgram(s));
    tokens.push(batch * length);
    flops.push(stackFlops(s));
  }
  const { passes, batch, length } = GRIFFIN_SIZES;
  await addOne(`GRIFFIN, ${passes} passes, D 512, B ${batch}, T ${length}`, griffinProgram());
  tokens.push(batch * length);
  flops.push(undefined);
  const timings = await timeInTurn(candidates, { rounds });
  return timings.map((t, i) => ({
    ...t,
    tokens_per_second: tokens[i] / (t.median / 1000),
    gflop: flops[i] === undefined ? undefined : flops[i]! / 1e9,
    gflops: flops[i] === undefined ? undefined : flops[i]! / 1e6 / t.median,
  }));
}

await runCommand({
  name: "bench",
  summary: "time a training step (bench training) or forwards while decoding (bench decoding)",
  options: {
    what: {
      type: "string",
      choices: ["training", "decoding"],
      positional: true,
      default: "training",
      describe: "what to time",
    },
    target: { type: "string", default: "data/target", describe: "target folder" },
    draft: { type: "string", default: "data/draft", describe: "draft folder" },
    rounds: { type: "integer", minimum: 1, default: 15, describe: "timed runs of each" },
  },
}, async (options, { say, result }) => {
  using backend = await openOnnxBackend();
  const environment = await readEnvironment({ backend: backend.name });
  say(`${environment.cores} cores, ${environment.cpu}; ONNX Runtime ${backend.version}, f32`);
  if (options.what === "training") {
    const rows = await training(backend, options.rounds);
    say(formatTable([
      [
        "training step: forward, backward, AdamW",
        "median ms",
        "min ms",
        "tokens/s",
        "GFLOP",
        "GFLOP/s",
      ],
      ...rows.map((r) => [
        r.name,
        r.median.toFixed(1),
        r.minimum.toFixed(1),
        r.tokens_per_second.toFixed(0),
        r.gflop?.toFixed(1) ?? "",
        r.gflops?.toFixed(0) ?? "",
      ]),
    ]));
    result({ what: "training", rows, environment });
    return;
  }
  const target = await loadTarget(options.target, { backend });
  const draft = await readDraft(options.draft, { target });
  const timings = await timeInTurn(
    [
      ...await targetForwards(target, { backend }),
      ...await draftForwards(draft, { backend, target }),
    ],
    { rounds: options.rounds },
  );
  const plain = timings[0].median;
  const rows = timings.map((t) => ({ ...t, plain_tokens: t.median / plain }));
  say(formatTable([
    ["forward behind 200 tokens", "median ms", "min ms", "in plain tokens"],
    ...rows.map((
      r,
    ) => [r.name, r.median.toFixed(2), r.minimum.toFixed(2), r.plain_tokens.toFixed(2)]),
  ]));
  result({ what: "decoding", rows, environment });
});
