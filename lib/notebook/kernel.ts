/**
 * A Deno kernel without a front end: started with a connection file, spoken to over ZMTP (`zmtp.ts`), it executes
 * code and tells what came of it. Jupyter's messages, version 5.3, as far as running notebooks needs them. Which
 * code: `run.ts`.
 */
import { createHmac, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ZmtpSocket } from "./zmtp.ts";

/** Part of a message's content that is read here. */
interface Content {
  execution_state?: string;
  status?: string;
  [key: string]: unknown;
}

/** A message about an execution. */
export interface KernelMessage {
  channel: "shell" | "iopub";
  type: string;
  /** Of the request that it answers. */
  parent: string;
  content: Content;
}

const DELIMITER = "<IDS|MSG>";
/** Outputs may come after the kernel said that it is idle: so long must nothing have come. */
const QUIET_MS = 120;

const sign = (key: string, parts: readonly string[]) => {
  const hmac = createHmac("sha256", key);
  for (const part of parts) hmac.update(part);
  return hmac.digest("hex");
};

/** The frames of a request. */
export function encodeMessage(
  { id, type, content, session, key }: {
    id: string;
    type: string;
    content: unknown;
    session: string;
    key: string;
  },
): string[] {
  const header = {
    msg_id: id,
    session,
    username: "griffin-lab",
    date: new Date().toISOString(),
    msg_type: type,
    version: "5.3",
  };
  const parts = [header, {}, {}, content].map((part) => JSON.stringify(part));
  return [DELIMITER, sign(key, parts), ...parts];
}

/** Reads a message. @throws when it is not signed with the key. */
export function decodeMessage(
  frames: readonly Uint8Array[],
  { channel, key }: { channel: KernelMessage["channel"]; key: string },
): KernelMessage {
  const texts = frames.map((f) => f.length < 1 << 28 ? new TextDecoder().decode(f) : "");
  const at = texts.indexOf(DELIMITER);
  const [signature, ...parts] = texts.slice(at + 1, at + 6);
  if (at < 0 || sign(key, parts) !== signature) {
    throw new Error("Cannot read a message of the kernel: found a wrong signature");
  }
  const [header, parent, , content] = parts.map((part) => JSON.parse(part));
  return { channel, type: header.msg_type, parent: parent.msg_id ?? "", content };
}

/** Ports that are free now. */
function freePorts(count: number): number[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}

/** A running kernel. */
export class Kernel implements AsyncDisposable {
  #child: Deno.ChildProcess;
  #key: string;
  #session = randomUUID();
  #file: string;
  #shell!: ZmtpSocket;
  #control!: ZmtpSocket;
  #iopub!: ZmtpSocket;
  #ended = false;
  #listeners = new Set<(message: KernelMessage) => void>();

  private constructor({ child, key, file }: {
    child: Deno.ChildProcess;
    key: string;
    file: string;
  }) {
    this.#child = child;
    this.#key = key;
    this.#file = file;
  }

  /**
   * Starts a kernel in `folder`, from where its cells import. `env` is added to its environment.
   * @throws when it cannot be started or does not answer.
   */
  static async start(
    { folder, env = {} }: { folder: string; env?: Record<string, string> },
  ): Promise<Kernel> {
    const key = randomUUID(), [shell, iopub, stdin, control, heartbeat] = freePorts(5);
    const file = await Deno.makeTempFile({ prefix: "griffin-kernel-", suffix: ".json" });
    const connection = {
      transport: "tcp",
      ip: "127.0.0.1",
      shell_port: shell,
      iopub_port: iopub,
      stdin_port: stdin,
      control_port: control,
      hb_port: heartbeat,
      key,
      signature_scheme: "hmac-sha256",
      kernel_name: "deno",
    };
    await Deno.writeTextFile(file, JSON.stringify(connection));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["jupyter", "--kernel", "--conn", file],
      cwd: folder,
      // Colours in texts of errors are noise in a log.
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const kernel = new Kernel({ child, key, file });
    child.status.then(() => kernel.#ended = true);
    try {
      await kernel.#connect({ shell, iopub, control });
    } catch (cause) {
      await kernel[Symbol.asyncDispose]();
      throw new Error(
        `Cannot start the kernel (deno jupyter --kernel): ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
    return kernel;
  }

  async #connect(ports: { shell: number; iopub: number; control: number }): Promise<void> {
    const abort = new AbortController(), { signal } = abort;
    this.#child.status.then(({ code }) =>
      abort.abort(new Error(`it ended at once with code ${code}`))
    );
    this.#iopub = await ZmtpSocket.connect("SUB", { port: ports.iopub, signal });
    this.#shell = await ZmtpSocket.connect("DEALER", { port: ports.shell, signal });
    this.#control = await ZmtpSocket.connect("DEALER", { port: ports.control, signal });
    for (const [channel, socket] of [["iopub", this.#iopub], ["shell", this.#shell]] as const) {
      (async () => {
        for await (const frames of socket) {
          const message = decodeMessage(frames, { channel, key: this.#key });
          for (const listen of [...this.#listeners]) listen(message);
        }
      })();
    }
    // A subscription takes effect some time after it was sent: ask until an answer comes on both channels.
    for (let tries = 0; tries < 60; tries++) {
      const heard = await this.#request("kernel_info_request", {}, {
        isDone: (all) => new Set(all.map((m) => m.channel)).size === 2,
        patience: 500,
      });
      if (heard.isDone) return;
    }
    throw new Error("it did not answer for 30 seconds");
  }

  /** Sends a request and collects what answers it, until `isDone`, the kernel's end, or the end of patience. */
  async #request(
    type: string,
    content: unknown,
    { isDone, patience = Infinity, onMessage }: {
      isDone: (messages: readonly KernelMessage[]) => boolean;
      patience?: number;
      onMessage?: (message: KernelMessage) => void;
    },
  ): Promise<{ messages: KernelMessage[]; isDone: boolean }> {
    const id = randomUUID(), messages: KernelMessage[] = [];
    let wake = () => {}, last = performance.now();
    const listen = (message: KernelMessage) => {
      if (message.parent !== id) return;
      messages.push(message);
      last = performance.now();
      onMessage?.(message);
      wake();
    };
    this.#listeners.add(listen);
    const began = performance.now(), session = this.#session, key = this.#key;
    try {
      await this.#shell.send(encodeMessage({ id, type, content, session, key }));
      while (!isDone(messages)) {
        if (this.#ended || performance.now() - began > patience) {
          return { messages, isDone: false };
        }
        await Promise.race([new Promise<void>((done) => wake = done), sleep(50)]);
      }
      while (performance.now() - last < QUIET_MS && patience === Infinity) await sleep(20);
      return { messages, isDone: true };
    } finally {
      this.#listeners.delete(listen);
    }
  }

  /**
   * Executes code; returns when the kernel has answered, is idle, and nothing more came for a while.
   * @throws when the kernel ends meanwhile.
   */
  async execute(
    code: string,
    { onMessage }: { onMessage?: (message: KernelMessage) => void } = {},
  ): Promise<KernelMessage[]> {
    const content = {
      code,
      silent: false,
      store_history: true,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: true,
    };
    const { messages, isDone } = await this.#request("execute_request", content, {
      isDone: (all) =>
        all.some((m) => m.type === "execute_reply") &&
        all.some((m) => m.type === "status" && m.content.execution_state === "idle"),
      onMessage,
    });
    if (!isDone) throw new Error("the kernel ended (out of memory, or the cell ended the process)");
    return messages;
  }

  /** Asks the kernel to end, and ends it if it does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    const session = this.#session, key = this.#key, id = randomUUID();
    const content = { restart: false };
    if (!this.#ended && this.#control !== undefined) {
      await this.#control.send(
        encodeMessage({ id, type: "shutdown_request", content, session, key }),
      )
        .catch(() => {});
    }
    await Promise.race([this.#child.status, sleep(2000, undefined, { ref: false })]);
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.#child.status;
    for (const socket of [this.#shell, this.#control, this.#iopub]) socket?.[Symbol.dispose]();
    await Deno.remove(this.#file).catch(() => {});
  }
}
