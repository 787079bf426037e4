/** `deno task bench decoding --vs`: our ways of decoding beside transformers.js, in turn, on the same prompts. */
import { join } from "node:path";
import type { OnnxBackend } from "../backend/onnx/backend.ts";
import { knownCosts } from "../bench/costs.ts";
import { compareSides, type Side, type SideSpeed } from "../bench/decoding_speed.ts";
import { openPeer, type Peer, PEERS } from "../bench/peers.ts";
import { loadSuite } from "../data/suites.ts";
import { generate, speculate } from "../decode/generate.ts";
import { GREEDY } from "../decode/sample.ts";
import { sampledAutoGrowth } from "../decode/sampled_tree_size.ts";
import { sizesUpTo, TargetDecoder } from "../decode/target.ts";
import { TreeDrafter } from "../decode/tree_drafter.ts";
import { autoGrowth } from "../decode/tree_size.ts";
import { record } from "../eval/run.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import { random } from "../random.ts";
import { formatTable } from "../report/table.ts";
import { encodePrompt } from "../text/chat.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { Io } from "./command.ts";
import { Progress } from "./progress.ts";

/** The version that was timed; it is fetched when first asked for and is no dependency of the project. */
const TRANSFORMERS_JS = "npm:@huggingface/transformers@4.3.1";
const SCRIPT = join(PEERS, "transformers_js_decoding.ts");
const WARM = { temperature: 1, topK: 0, topP: 1 }, LARGEST = 64;

interface SpeedOptions {
  target: string;
  draft: string;
  count: number;
  tokens: number;
  rounds: number;
}

/** Ours: plain and with a draft, greedy and at temperature 1, and greedy with the target in 8 bits. */
async function ourSides(
  backend: OnnxBackend,
  { target: folder, draft: trained, tokens: maxTokens }: SpeedOptions,
  prompts: readonly Int32Array[],
): Promise<Side[]> {
  const sides: Side[] = [];
  for (const bits of [32, 8] as const) {
    const loaded = await loadTarget(folder, { backend, bits });
    const draft = await readDraft(trained, { target: loaded });
    const target = new TargetDecoder(loaded, { backend, taps: draft.config.taps });
    const lengths = prompts.map((p) => p.length), rounded = bits === 8 ? ", 8-bit target" : "";
    await target.prepare([...sizesUpTo(LARGEST), ...lengths]);
    for (const kind of bits === 8 ? ["greedy"] as const : ["greedy", "temperature 1"] as const) {
      const sampling = kind === "greedy" ? GREEDY : WARM;
      const children = kind === "greedy" ? "top" : "sampled";
      const { costs } = await knownCosts({ backend, target, draft, children });
      const growth = children === "top" ? autoGrowth(costs) : sampledAutoGrowth(costs);
      const drafter = new TreeDrafter(draft, { backend, target: loaded, growth, children });
      await drafter.prepare(lengths);
      const settings = (index: number, way: string) => ({
        sampling,
        maxTokens,
        random: random(0, "bench", way, index),
      });
      sides.push({
        name: `plain${rounded}`,
        kind,
        decode: (prompt, i) => record(generate(target, prompt, settings(i, "plain"))),
      }, {
        name: `draft, tree auto${rounded}`,
        kind,
        decode: (prompt, i) =>
          record(speculate(target, prompt, { ...settings(i, "draft"), drafter })),
      });
    }
  }
  return sides;
}

/** transformers.js with each export of the target; what is not there is named with the way to get it. */
async function peerSides(
  { target, tokens: maxTokens }: SpeedOptions,
  { eos, say }: { eos: readonly number[]; say: Io["say"] },
): Promise<{ peers: Peer[]; sides: Side[] }> {
  const peers: Peer[] = [], sides: Side[] = [];
  const run = ["run", "-A", "--no-check", "--no-config", "--no-lock", "--node-modules-dir=none"];
  for (const layout of ["standard", "fused"]) {
    try {
      const peer = await openPeer(Deno.execPath(), [
        ...run,
        SCRIPT,
        TRANSFORMERS_JS,
        target,
        layout,
      ]);
      peers.push(peer);
      for (const kind of ["greedy", "temperature 1"]) {
        const temperature = kind === "greedy" ? 0 : 1;
        sides.push({
          name: peer.name,
          kind,
          async decode(prompt) {
            const said = await peer.ask({ ids: [...prompt], maxTokens, eos, temperature });
            return { tokens: said.tokens as number[], decodeMs: said.decodeMs as number };
          },
        });
      }
    } catch (cause) {
      say(`skipped: ${(cause as Error).message} (npm must be reachable)`);
    }
  }
  return { peers, sides };
}

function table(speeds: readonly SideSpeed[], peers: readonly Peer[]): string {
  const names = new Set(peers.map(({ name }) => name));
  const rate = (s: SideSpeed | undefined, of: SideSpeed) =>
    s === undefined ? "" : `${(of.tokensPerSecond / s.tokensPerSecond).toFixed(2)}x`;
  return formatTable([
    ["", "side", "ms a token", "tokens/s", "over our plain", "over transformers.js", "same text"],
    ...speeds.map((s) => {
      const same = speeds.filter(({ kind }) => kind === s.kind);
      // Over the quicker of its exports.
      const [fastest] = same.filter(({ name }) => names.has(name))
        .sort((a, b) => b.tokensPerSecond - a.tokensPerSecond);
      return [
        s.kind,
        s.name,
        s.msPerToken.toFixed(2),
        s.tokensPerSecond.toFixed(1),
        rate(same.find(({ name }) => name === "plain"), s),
        rate(fastest, s),
        s.kind === "greedy" ? `${s.same}/${s.texts}` : "",
      ];
    }),
  ]);
}

/** Compares and prints. */
export async function benchSpeed(
  backend: OnnxBackend,
  { say, ...options }: SpeedOptions & Pick<Io, "say">,
): Promise<SideSpeed[]> {
  const { questions, name } = await loadSuite("ours", { count: options.count });
  const tokenizer = await loadTokenizer(options.target);
  const prompts = questions.map(({ text }) =>
    encodePrompt(tokenizer, [{ role: "user", content: text }])
  );
  const ours = await ourSides(backend, options, prompts);
  const { config } = await loadTarget(options.target, { backend });
  const { peers, sides } = await peerSides(options, { eos: config.eos, say });
  try {
    const all = [...ours, ...sides].sort((a, b) => a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0);
    using progress = new Progress(name);
    const run = compareSides(all, prompts, { rounds: options.rounds });
    for (;;) {
      const { value, done } = await run.next();
      if (done) {
        say(
          `${prompts.length} prompts of ${name}, ${options.tokens} new tokens at most, prefill left out`,
        );
        say(table(value, peers));
        return value;
      }
      progress.update(value, { total: prompts.length * options.rounds });
    }
  } finally {
    for (const peer of peers) await peer[Symbol.asyncDispose]();
  }
}
