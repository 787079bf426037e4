/**
 * Deno's Jupyter kernel as a child process, spoken to over ZeroMQ: cells in, outputs out. The kernel may say that it is
 * idle before a cell's last outputs arrive, so a cell ends with reply, idle, and then quiet. Next: `run.ts`.
 */
import { createHmac, randomUUID } from "node:crypto";
import type { Output } from "./document.ts";
import { ZmtpSocket } from "./zmtp.ts";

/** How long nothing may come before a cell that is done counts as quiet, milliseconds. */
const QUIET = 150;
const DELIMITER = "<IDS|MSG>";

interface Message {
  type: string;
  parent: string;
  content: Record<string, unknown>;
}

/** What a cell did. */
export interface CellResult {
  outputs: Output[];
  count: number | null;
  ok: boolean;
}

/** Ports that are free now; the kernel takes them a moment later. */
function freePorts(count: number): number[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}

const delay = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** A running kernel; dispose it to end its process. */
export class Kernel implements AsyncDisposable {
  #key: string;
  #session = randomUUID();
  #shell: ZmtpSocket;
  #messages: Message[] = [];
  #last = 0;
  #wake = () => {};
  #ended = false;
  #resources: AsyncDisposableStack;

  private constructor({ key, shell, resources }: {
    key: string;
    shell: ZmtpSocket;
    resources: AsyncDisposableStack;
  }) {
    this.#key = key;
    this.#shell = shell;
    this.#resources = resources;
  }

  /** Starts a kernel in a folder. @throws when it does not answer within a minute. */
  static async start(folder: string): Promise<Kernel> {
    await using starting = new AsyncDisposableStack();
    const key = randomUUID(), [shell, iopub, stdin, control, heart] = freePorts(5);
    const connection = {
      ...{ transport: "tcp", ip: "127.0.0.1", key, signature_scheme: "hmac-sha256" },
      ...{ shell_port: shell, iopub_port: iopub, stdin_port: stdin, control_port: control },
      ...{ hb_port: heart, kernel_name: "deno" },
    };
    const file = await Deno.makeTempFile({ suffix: ".json" });
    starting.defer(() => Deno.remove(file));
    await Deno.writeTextFile(file, JSON.stringify(connection));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["jupyter", "--kernel", "--conn", file],
      ...{ cwd: folder, stdin: "null", stdout: "null", stderr: "null" },
    }).spawn();
    starting.defer(async () => {
      try {
        child.kill("SIGKILL");
      } catch {
        return; // it has ended by itself
      }
      await child.status;
    });
    const connect = async (kind: "DEALER" | "SUB", port: number): Promise<ZmtpSocket> => {
      for (let tries = 0;; tries++) {
        try {
          return starting.use(await ZmtpSocket.connect(kind, port));
        } catch (cause) {
          if (tries < 300) await delay(100);
          else throw new Error("Cannot start the Deno kernel: it opens no port", { cause });
        }
      }
    };
    const shellSocket = await connect("DEALER", shell), outputs = await connect("SUB", iopub);
    const kernel = new Kernel({ key, shell: shellSocket, resources: starting.move() });
    kernel.#listen(shellSocket);
    kernel.#listen(outputs);
    void child.status.then(() => {
      kernel.#ended = true;
      kernel.#wake();
    });
    await kernel.#answering();
    return kernel;
  }

  #listen(socket: ZmtpSocket): void {
    void (async () => {
      const decode = new TextDecoder();
      for await (const frames of socket) {
        const parts = frames.map((frame) => decode.decode(frame)), at = parts.indexOf(DELIMITER);
        const [signature, header, parent, metadata, content] = parts.slice(at + 1);
        if (signature !== this.#sign([header, parent, metadata, content])) continue;
        this.#messages.push({
          type: JSON.parse(header).msg_type,
          parent: JSON.parse(parent).msg_id,
          content: JSON.parse(content),
        });
        this.#last = performance.now();
        this.#wake();
      }
    })();
  }

  #sign(parts: readonly string[]): string {
    const hmac = createHmac("sha256", this.#key);
    for (const part of parts) hmac.update(part);
    return hmac.digest("hex");
  }

  async #send(type: string, content: unknown): Promise<string> {
    const id = randomUUID(),
      parts = [
        JSON.stringify({
          ...{ msg_id: id, session: this.#session, username: "griffin", version: "5.3" },
          ...{ date: new Date().toISOString(), msg_type: type },
        }),
        "{}",
        "{}",
        JSON.stringify(content),
      ];
    await this.#shell.send([DELIMITER, this.#sign(parts), ...parts]);
    return id;
  }

  /** Waits until the messages say so, the time is over (false), or the kernel has ended. */
  async #until(done: () => boolean, ms: number): Promise<boolean> {
    for (const end = performance.now() + ms; !done();) {
      const left = end - performance.now();
      if (left <= 0 || this.#ended) return done();
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((wake) => {
        this.#wake = wake;
        timer = setTimeout(wake, Math.min(left, 100));
      });
      clearTimeout(timer);
    }
    return true;
  }

  /** A subscription takes a moment: only when answers come on both sockets, none is lost. */
  async #answering(): Promise<void> {
    for (let tries = 0; tries < 200 && !this.#ended; tries++) {
      const id = await this.#send("kernel_info_request", {});
      const types = () => this.#messages.filter((m) => m.parent === id).map((m) => m.type);
      const both = () => types().includes("status") && types().includes("kernel_info_reply");
      if (await this.#until(both, 300)) return;
    }
    throw new Error("Cannot start the Deno kernel: it does not answer");
  }

  /** Runs a cell. @throws when the time is over or the kernel has ended. */
  async execute(
    code: string,
    { timeout = 600_000 }: { timeout?: number } = {},
  ): Promise<CellResult> {
    this.#messages = [];
    const id = await this.#send("execute_request", {
      ...{ code, silent: false, store_history: true, allow_stdin: false, stop_on_error: true },
      user_expressions: {},
    });
    const own = () => this.#messages.filter(({ parent }) => parent === id);
    const idle = () =>
      own().some(({ type, content }) => type === "status" && content.execution_state === "idle");
    const replied = () => own().find(({ type }) => type === "execute_reply");
    const done = await this.#until(() => idle() && replied() !== undefined, timeout);
    if (this.#ended) throw new Error("the kernel ended while the cell ran");
    if (!done) throw new Error(`the cell ran longer than ${timeout / 1000} s`);
    while (performance.now() - this.#last < QUIET) await delay(QUIET / 3);
    const { content } = replied()!;
    return {
      outputs: outputsOf(own()),
      count: (content.execution_count as number | undefined) ?? null,
      ok: content.status === "ok" && !own().some(({ type }) => type === "error"),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** The outputs that messages leave behind: updates replace what has their id, streams are joined. */
function outputsOf(messages: readonly Message[]): Output[] {
  const outputs: Output[] = [], ids = new Map<unknown, number[]>();
  for (const { type, content } of messages) {
    const data = content.data as Record<string, unknown>;
    const metadata = (content.metadata ?? {}) as Record<string, unknown>;
    const id = (content.transient as { display_id?: string } | undefined)?.display_id;
    if (type === "stream") {
      const name = content.name as "stdout" | "stderr", before = outputs.at(-1);
      if (before?.output_type === "stream" && before.name === name) {
        before.text = `${before.text}${content.text}`;
      } else outputs.push({ output_type: "stream", name, text: String(content.text) });
    } else if (type === "display_data") {
      outputs.push({ output_type: "display_data", data, metadata });
      if (id !== undefined) ids.set(id, [...ids.get(id) ?? [], outputs.length - 1]);
    } else if (type === "update_display_data") {
      for (const at of ids.get(id) ?? []) {
        outputs[at] = { output_type: "display_data", data, metadata };
      }
    } else if (type === "execute_result") {
      const count = content.execution_count as number;
      outputs.push({ output_type: "execute_result", data, metadata, execution_count: count });
    } else if (type === "clear_output") {
      outputs.length = 0;
      ids.clear();
    } else if (type === "error") {
      const { ename, evalue, traceback } = content as Record<string, never>;
      outputs.push({ output_type: "error", ename, evalue, traceback });
    }
  }
  return outputs;
}
