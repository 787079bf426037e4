/**
 * A chat server over a tiny random target with the shipped tokenizer: texts that mean nothing, of all kinds of bytes,
 * at thousands of tokens a second. Holds no test; the tests of `lib/serve` use it.
 */
import { openOnnxBackend } from "../../lib/backend/onnx/backend.ts";
import { TargetDecoder } from "../../lib/decode/target.ts";
import { Drafters } from "../../lib/serve/drafters.ts";
import type { ChatModel, ReplyRequest } from "../../lib/serve/reply.ts";
import { type ChatServer, openChatServer, type ServerOptions } from "../../lib/serve/server.ts";
import { loadTokenizer } from "../../lib/text/tokenizer.ts";
import { tinyDraft, tinyDraftConfig, tinyTarget } from "../model/tiny.ts";

export const POSITIONS = 2048;

/** Made up: a tree of any size costs little more than none. */
const COSTS = {
  read: [[1, 0.2], [12, 0.3]],
  expand: [[1, 0.1], [8, 0.2]],
  verify: [[1, 1], [8, 1.1], [64, 2]],
  host: 0.1,
} as const;

export interface TinyModel extends ChatModel, Disposable {
  /** Tensors that are held on the backend. */
  held(): number;
  /** How often costs were asked for. */
  measured: string[];
  /** Makes every round take so many milliseconds longer. */
  slow(ms: number): void;
}

/** A model that replies at random, and counts what it holds. */
export async function tinyModel({ most = 4 }: { most?: number } = {}): Promise<TinyModel> {
  const inner = await openOnnxBackend({ threads: 1 }), measured: string[] = [];
  let held = 0, pause = 0;
  const backend: typeof inner = {
    ...inner,
    tensor(...args) {
      const made = inner.tensor(...args), dispose = made[Symbol.dispose].bind(made);
      held++;
      made[Symbol.dispose] = () => {
        held--;
        dispose();
      };
      return made;
    },
  };
  const target = tinyTarget(backend, {
    vocabulary: 4096,
    positions: POSITIONS,
    eos: [4094],
    seed: 3,
  });
  const draft = tinyDraft(tinyDraftConfig(target.config));
  const decoder = new TargetDecoder(target, { backend });
  const { forwardTrees, forwardChain } = decoder;
  const wait = async () => {
    if (pause > 0) await new Promise((go) => setTimeout(go, pause));
  };
  decoder.forwardTrees = async (trees) => (await wait(), await forwardTrees.call(decoder, trees));
  decoder.forwardChain = async (ids, cache) => (
    await wait(), await forwardChain.call(decoder, ids, cache)
  );
  const drafters = new Drafters({
    backend,
    target,
    draft,
    minimumScore: -40,
    most,
    costs(children) {
      measured.push(children);
      return Promise.resolve(COSTS);
    },
  });
  return {
    name: "tiny",
    folders: { target: "tiny", draft: "tiny-draft" },
    target: decoder,
    tokenizer: await loadTokenizer("data/target"),
    drafters,
    held: () => held,
    measured,
    slow: (ms) => pause = ms,
    [Symbol.dispose]() {
      drafters[Symbol.dispose]();
      decoder[Symbol.dispose]();
      inner[Symbol.dispose]();
    },
  };
}

export const DEFAULTS = {
  sampling: { temperature: 0, topK: 0, topP: 1 },
  maxTokens: 24,
  tree: "8/3/2",
};

/** A request to reply; `prompt` as ids of a text. */
export function replyRequest(model: ChatModel, changes: Partial<ReplyRequest> = {}): ReplyRequest {
  const { sampling, maxTokens, tree } = DEFAULTS;
  const prompt = model.tokenizer.encode("Once upon a time there was a number.");
  const own = { prompt, mode: "speculative", sampling, maxTokens, tree, seed: 1 } as const;
  return { ...own, stop: [], trace: false, ...changes };
}

export interface World extends AsyncDisposable {
  model: TinyModel;
  server: ChatServer;
  /** Posts JSON to a path of the server. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
}

export async function openWorld(options: Partial<ServerOptions> = {}): Promise<World> {
  const model = await tinyModel();
  const server = await openChatServer({ model, defaults: DEFAULTS, ...options });
  return {
    model,
    server,
    post: (path, body, init = {}) =>
      fetch(new URL(path, server.address), {
        method: "POST",
        headers: { "content-type": "application/json", ...init.headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
        signal: init.signal,
      }),
    async [Symbol.asyncDispose]() {
      await server.close();
      model[Symbol.dispose]();
    },
  };
}

/** A question as the body of a request. */
export const question = (content: string, changes: Record<string, unknown> = {}) => ({
  model: "tiny",
  messages: [{ role: "user", content }],
  ...changes,
});

/** Events of a stream, as they come. */
export async function* eventsOf(response: Response): AsyncGenerator<Record<string, unknown>> {
  let text = "";
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (text + part).split("\n\n");
    text = parts.pop()!;
    for (const one of parts) if (one.startsWith("data: {")) yield JSON.parse(one.slice(6));
  }
}

/** Waits until something holds. @throws after `ms`. */
export async function until(
  holds: () => boolean,
  { ms = 5000 }: { ms?: number } = {},
): Promise<void> {
  for (const end = Date.now() + ms; !holds();) {
    if (Date.now() > end) throw new Error(`After ${ms} ms still not: ${holds}`);
    await new Promise((go) => setTimeout(go, 2));
  }
}
