/** `deno task bench rounds`: rounds on the device beside the host's, on the GPU, same prompts in turn. */
import { openWebGpuBackend } from "../backend/webgpu/backend.ts";
import { compareSides, type Side, type SideSpeed } from "../bench/decoding_speed.ts";
import { loadSuite } from "../data/suites.ts";
import { generate, speculate } from "../decode/generate.ts";
import { dynamicGrowth } from "../decode/growth.ts";
import { ResidentDecoder } from "../decode/resident_decoder.ts";
import { sizesUpTo, TargetDecoder } from "../decode/target.ts";
import type { TreeShape } from "../decode/tree.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import { record } from "../eval/run.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import { formatTable } from "../report/table.ts";
import { encodePrompt } from "../text/chat.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Io } from "./command.ts";
import { Progress } from "./progress.ts";

/** A tree that a software adapter, too, verifies in a fraction of a second. */
const SHAPE: TreeShape = { budget: 8, depth: 4, width: 2 };
/** Rounds under way before the first is read. */
const AHEAD = [1, 2, 4];

/** Compares and prints: every side decodes greedily and must say the same. */
export async function benchRounds(
  { say, target: folder, draft: trained, count, tokens: maxTokens }: Pick<Io, "say"> & {
    target: string;
    draft: string;
    count: number;
    tokens: number;
  },
): Promise<SideSpeed[]> {
  using resources = new DisposableStack();
  const backend = resources.use(await openWebGpuBackend());
  const loaded = await loadTarget(folder, { backend });
  const draft = await readDraft(trained, { target: loaded });
  const settings = { backend, target: loaded, growth: dynamicGrowth(SHAPE), bits: 32 as const };
  const target = resources.use(new TargetDecoder(loaded, { backend, taps: draft.config.taps }));
  const drafter = resources.use(new TreeDrafter(draft, settings));
  const { questions, name } = await loadSuite("ours", { count });
  const tokenizer = await loadTokenizer(folder);
  const prompts = questions.map(({ text }) =>
    encodePrompt(tokenizer, [{ role: "user", content: text }])
  );
  const lengths = prompts.map((p) => p.length);
  await target.prepare([...sizesUpTo(SHAPE.budget), ...lengths]);
  await drafter.prepare(lengths);
  const tree = `tree ${SHAPE.budget}/${SHAPE.depth}/${SHAPE.width}`;
  const sides: Side[] = [{
    name: "plain, by the host",
    kind: "greedy",
    decode: (prompt) => record(generate(target, prompt, { maxTokens })),
  }, {
    name: `${tree}, by the host`,
    kind: "greedy",
    decode: (prompt) => record(speculate(target, prompt, { maxTokens, drafter })),
  }];
  for (const own of [undefined, drafter]) {
    for (const ahead of AHEAD) {
      const decoder = resources.use(
        new ResidentDecoder(target, { backend, drafter: own, ahead }),
      );
      await decoder.prepare(lengths);
      sides.push({
        name: `${own === undefined ? "plain" : tree}, on the device, ${ahead} under way`,
        kind: "greedy",
        decode: (prompt) => record(decoder.generate(prompt, { maxTokens })),
      });
    }
  }
  using progress = new Progress(name);
  const run = compareSides(sides, prompts);
  for (;;) {
    const { value, done } = await run.next();
    if (!done) {
      progress.update(value, { total: prompts.length });
      continue;
    }
    say(`${backend.adapter}; ${prompts.length} prompts, ${maxTokens} new tokens at most`);
    const host = (side: SideSpeed) =>
      value.find(({ name }) =>
        name === `${side.name.startsWith("plain") ? "plain" : tree}, by the host`
      )!;
    say(formatTable([
      ["side", "ms a token", "tokens/s", "over the host's rounds", "same text"],
      ...value.map((s) => [
        s.name,
        s.msPerToken.toFixed(1),
        s.tokensPerSecond.toFixed(1),
        `${(s.tokensPerSecond / host(s).tokensPerSecond).toFixed(2)}x`,
        `${s.same}/${s.texts}`,
      ]),
    ]));
    return value;
  }
}
