/** `deno task chat`: a chat page and an OpenAI-compatible server for a target and its draft, on this machine. */
import { basename, join, resolve } from "node:path";
import { openOnnxBackend } from "../backend/onnx/backend.ts";
import { knownCosts } from "../bench/costs.ts";
import { checkSampling } from "../decode/sample.ts";
import { TargetDecoder } from "../decode/target.ts";
import { nameOfFolder } from "../hub/model.ts";
import { loadTarget, readDraft } from "../model/load.ts";
import type { Bits } from "../model/quantize.ts";
import { Drafters, readTree } from "../serve/drafters.ts";
import type { ChatModel } from "../serve/reply.ts";
import { openChatServer } from "../serve/server.ts";
import { encodePrompt } from "../text/chat.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { runCommand } from "./command.ts";
import { DECODING_OPTIONS } from "./decoding_options.ts";

const { target, draft, temperature, ...decoding } = DECODING_OPTIONS;

await runCommand({
  name: "chat",
  summary: "chat with a target and its draft in the browser, or through OpenAI's API",
  options: {
    host: {
      type: "string",
      default: "127.0.0.1",
      describe: "address to listen on; whoever reaches it may chat",
    },
    port: { type: "integer", minimum: 0, maximum: 65535, default: 8017, describe: "0: any" },
    names: { type: "string", describe: "names that it answers to beside addresses, with commas" },
    name: { type: "string", describe: "of the model in the API; by default its folder's" },
    waiting: {
      type: "integer",
      minimum: 0,
      default: 64,
      describe: "requests that may wait; more are refused",
    },
    target,
    draft,
    tokens: {
      type: "integer",
      minimum: 1,
      default: 512,
      describe: "new tokens at most, unless a request says otherwise",
    },
    temperature,
    "top-k": decoding["top-k"],
    "top-p": decoding["top-p"],
    "repetition-penalty": decoding["repetition-penalty"],
    tree: {
      type: "string",
      default: "auto",
      describe: "auto: sized by measured costs; or NODES/DEPTH/WIDTH, as in the paper's 60/6/10",
    },
    "measure-costs": decoding["measure-costs"],
    "minimum-score": decoding["minimum-score"],
    "draft-bits": decoding["draft-bits"],
    "target-bits": decoding["target-bits"],
  },
}, async (options, { say, result, signal }) => {
  const sampling = {
    temperature: options.temperature,
    topK: options["top-k"],
    topP: options["top-p"],
    repetitionPenalty: options["repetition-penalty"],
  };
  checkSampling(sampling);
  try {
    readTree(options.tree);
  } catch (cause) {
    throw new Error(`--tree: ${(cause as Error).message}`, { cause });
  }
  const began = performance.now();
  using resources = new DisposableStack();
  const backend = resources.use(await openOnnxBackend());
  const loaded = await loadTarget(options.target, {
    backend,
    bits: Number(options["target-bits"]) as Bits,
  });
  const small = await readDraft(options.draft, { target: loaded });
  const { taps } = small.config;
  const decoder = resources.use(new TargetDecoder(loaded, { backend, taps }));
  const drafting = {
    backend,
    draft: small,
    // On the CPU, where auto is 8 bits.
    bits: (options["draft-bits"] === "auto" ? 8 : Number(options["draft-bits"])) as Bits,
    minimumScore: options["minimum-score"],
  };
  const drafters = resources.use(
    new Drafters({
      ...drafting,
      target: loaded,
      async costs(children) {
        const question = { ...drafting, target: decoder, children };
        const again = options["measure-costs"], folder = join("runs", "costs");
        const known = await knownCosts(question, { again, folder });
        say(`costs ${known.measured ? "measured, kept in" : "from"} ${known.path}`);
        return known.costs;
      },
    }),
  );
  const model: ChatModel = {
    name: options.name ?? basename(nameOfFolder(resolve(options.target))).replace(/@.*$/, ""),
    folders: { target: nameOfFolder(options.target), draft: nameOfFolder(options.draft) },
    target: decoder,
    tokenizer: await loadTokenizer(options.target),
    drafters,
  };
  // A tokenizer without a chat template is refused now, not at the first question.
  encodePrompt(model.tokenizer, [{ role: "user", content: "Hello" }]);
  // The first question waits for no compiler.
  await drafters.of({ tree: options.tree, temperature: options.temperature });
  await decoder.prepare([1, 64]);
  const { host: hostname, port, waiting, tree, tokens: maxTokens } = options;
  const names = options.names?.split(",").map((name) => name.trim().toLowerCase()) ?? [];
  const defaults = { sampling, maxTokens, tree };
  await using server = await openChatServer({
    model,
    defaults,
    hostname,
    port,
    names,
    waiting,
  });
  const { address } = server, seconds = ((performance.now() - began) / 1000).toFixed(1);
  say(`\n  ${address}      the chat page`);
  say(`  ${address}v1    for clients of OpenAI's API, model ${model.name}`);
  say(`\nready after ${seconds} s; Ctrl-C stops`);
  result({ address, model: model.name });
  await new Promise<void>((stop) => signal.addEventListener("abort", () => stop()));
});
