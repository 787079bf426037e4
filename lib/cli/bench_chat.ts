/**
 * `deno task bench chat`: simulated clients on a chat server in a process of its own, minute by minute: answers, what
 * was refused, how long they took, the server's memory. Called by `bench.ts`; the clients: `lib/bench/chat_load.ts`.
 */
import { type Traffic, traffic } from "../bench/chat_load.ts";
import { loadSuite } from "../data/suites.ts";
import { formatTable } from "../report/table.ts";
import type { Io } from "./command.ts";

/** What the clients saw in a slice of the time, and what the server then held. */
interface LoadRow extends Omit<Traffic, "firstMs" | "wholeMs"> {
  minute: number;
  /** Milliseconds to the first token and the last, medians and 95 %. */
  first: [number, number];
  whole: [number, number];
  /** Resident memory of the server, bytes. */
  resident: number;
  heap: number;
}

const quantile = (values: readonly number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? NaN;

/** Starts `deno task chat` on any free port. */
async function startServer(
  { target, draft, waiting }: { target: string; draft: string; waiting: number },
) {
  const own = ["--quiet", "--allow-read", "--allow-write=runs", "--allow-env", "--allow-ffi"];
  const more = ["--allow-sys", "--allow-net", new URL("chat.ts", import.meta.url).href];
  const options = ["--port", "0", "--target", target, "--draft", draft, "--waiting", `${waiting}`];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...own, ...more, ...options, "--json"],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let said = "";
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    said += part;
    if (said.includes("\n")) break;
  }
  if (!said.includes("\n")) {
    throw new Error("Cannot start the chat server: deno task chat says why");
  }
  return { child, ...JSON.parse(said) as { address: string; model: string } };
}

export async function benchChat(
  { say, signal, target, draft, clients, minutes, tokens: maxTokens }:
    & Pick<Io, "say" | "signal">
    & { target: string; draft: string; clients: number; minutes: number; tokens: number },
): Promise<LoadRow[]> {
  const { questions } = await loadSuite("ours", { count: 40 }), rows: LoadRow[] = [];
  const { child, address, model } = await startServer({ target, draft, waiting: clients / 2 });
  try {
    const load = { clients, questions: questions.map((q) => q.text), maxTokens, model, signal };
    for (let minute = 0; minute < minutes && !signal.aborted; minute++) {
      const { firstMs, wholeMs, ...seen } = await traffic(address, {
        ...load,
        seed: minute,
        ms: 60_000,
      });
      const { memory } = await (await fetch(new URL("api/status", address))).json();
      const both = (
        times: number[],
      ): [number, number] => [quantile(times, 0.5), quantile(times, 0.95)];
      const row = {
        minute: minute + 1,
        ...seen,
        first: both(firstMs),
        whole: both(wholeMs),
        ...memory,
      };
      rows.push(row);
      for (const fault of [...seen.wrong, ...seen.lost].slice(0, 3)) say(`fault: ${fault}`);
      say(`minute ${row.minute}: ${row.answered} answered, ${(row.resident / 1e6).toFixed(1)} MB`);
    }
  } finally {
    child.kill("SIGINT");
    await child.status;
  }
  const seconds = ([median, high]: [number, number]) =>
    `${(median / 1000).toFixed(2)} (${(high / 1000).toFixed(2)})`;
  say(formatTable([
    [
      "minute",
      "answered",
      "tokens",
      "left",
      "refused",
      "wrong",
      "lost",
      "line",
      "first s",
      "whole s",
      "MB",
      "heap MB",
    ],
    ...rows.map((r) => [
      r.minute,
      r.answered,
      r.tokens,
      r.left,
      r.refused,
      r.wrong.length,
      r.lost.length,
      r.longestLine,
      seconds(r.first),
      seconds(r.whole),
      (r.resident / 1e6).toFixed(1),
      (r.heap / 1e6).toFixed(1),
    ]),
  ]));
  return rows;
}
