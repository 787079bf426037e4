/**
 * Other frameworks as child processes: each answers a JSON object a line, holds jobs open, makes one training step
 * when asked, so that its steps and ours can be timed in turn. The programs themselves are under `tests/peers`;
 * what is asked of them is in `training_peers.ts`.
 */
import { join } from "node:path";
import { TextLineStream } from "./lines.ts";

/** Where the programs are. */
export const PEERS = join(import.meta.dirname!, "../../tests/peers");
/** The version that was timed; it is fetched when first asked for and is no dependency of the project. */
export const JAX_JS = "npm:@jax-js/jax@0.1.25";

/** A framework that is running. */
export interface Peer extends AsyncDisposable {
  /** Name and version, as it says itself. */
  readonly name: string;
  /** Sends a request and waits for its answer. @throws what the peer reports, or that it is gone. */
  ask(request: Record<string, unknown>): Promise<Record<string, unknown>>;
}

/**
 * Starts a peer. Its error output is kept for the message should it fail.
 * @throws naming the command when it cannot be started or ends before it says its name.
 */
export async function openPeer(command: string, args: readonly string[]): Promise<Peer> {
  const shown = [command, ...args.slice(0, 3)].join(" ");
  let child: Deno.ChildProcess;
  try {
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    child = new Deno.Command(command, { args: [...args], ...pipes }).spawn();
  } catch (cause) {
    throw new Error(`Cannot start ${shown}: ${(cause as Error).message}`, { cause });
  }
  const complaint = new Response(child.stderr).text();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .getReader();
  const input = child.stdin.getWriter(), encoder = new TextEncoder();
  const answer = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.read();
    if (done) {
      const last = (await complaint).trim().split("\n").at(-1);
      throw new Error(`Cannot use ${shown}: it ended${last ? ` with ${last}` : ""}`);
    }
    const said = JSON.parse(value);
    if (said.error !== undefined) throw new Error(`Cannot use ${shown}: ${said.error}`);
    return said;
  };
  const { name } = await answer();
  return {
    name: String(name),
    async ask(request) {
      await input.write(encoder.encode(`${JSON.stringify(request)}\n`));
      return await answer();
    },
    async [Symbol.asyncDispose]() {
      await input.close().catch(() => {}); // it may have ended by itself
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
