/**
 * A headless Chromium driven over its DevTools protocol: pages opened, clicked, typed into, asked. The few commands
 * that the tests of the chat page need, no more. Holds no test. `CHROMIUM` names one that is not on the path.
 */

/** Where a Chromium is; undefined when there is none. */
export function findChromium(): string | undefined {
  const folders = [
    ...(Deno.env.get("PATH") ?? "").split(Deno.build.os === "windows" ? ";" : ":"),
    "/Applications/Google Chrome.app/Contents/MacOS",
  ];
  const names = ["chromium", "chromium-browser", "google-chrome", "chrome.exe", "Google Chrome"];
  const candidates = names.flatMap((name) => folders.map((folder) => `${folder}/${name}`));
  return [Deno.env.get("CHROMIUM") ?? "", ...candidates].find((path) => {
    try {
      return path !== "" && Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

interface Waiting {
  resolve: (value: Record<string, unknown>) => void;
  reject: (cause: Error) => void;
}

/** One page. */
export class Tab {
  /** What the page wrote to its console and threw. */
  readonly complaints: string[] = [];
  #browser: Browser;
  #session: string;

  constructor(browser: Browser, session: string) {
    this.#browser = browser;
    this.#session = session;
  }

  send(method: string, parameters: object = {}): Promise<Record<string, unknown>> {
    return this.#browser.send(method, parameters, this.#session);
  }

  /** The value of an expression, awaited. @throws what it throws. */
  async ask<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    }) as {
      result: { value: T };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Waits until an expression holds. @throws naming it after `ms`. */
  async until(expression: string, { ms = 15_000 }: { ms?: number } = {}): Promise<void> {
    for (const end = Date.now() + ms; !(await this.ask<boolean>(`Boolean(${expression})`));) {
      if (Date.now() > end) throw new Error(`After ${ms} ms still not: ${expression}`);
      await new Promise((go) => setTimeout(go, 15));
    }
  }

  async goTo(address: string): Promise<void> {
    await this.send("Page.navigate", { url: address });
    await this.until(`document.documentElement?.dataset.server !== undefined`);
  }

  /** Brings the page before the others: input to a page that is hidden is slow. */
  async toFront(): Promise<void> {
    await this.send("Page.bringToFront");
  }

  /** A click in the middle of an element, as by a mouse. */
  async click(selector: string): Promise<void> {
    const name = JSON.stringify(selector);
    const found = await this.ask<{ x: number; y: number } | null>(`(() => {
      const found = document.querySelector(${name});
      if (found === null || found.disabled) return null;
      found.scrollIntoView({ block: "nearest" });
      const box = found.getClientRects()[0];
      return box === undefined ? null : { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    })()`);
    if (found === null) throw new Error(`Cannot click ${selector}: not there, hidden or disabled`);
    const mouse = (type: string) =>
      this.send("Input.dispatchMouseEvent", { type, ...found, button: "left", clickCount: 1 });
    await mouse("mouseMoved");
    await mouse("mousePressed");
    await mouse("mouseReleased");
  }

  /** Types into what has the focus. */
  async type(text: string): Promise<void> {
    await this.send("Input.insertText", { text });
  }

  /** Presses a key; `alt` holds Alt. */
  async press(key: string, { alt = false }: { alt?: boolean } = {}): Promise<void> {
    const codes: Record<string, number> = {
      Enter: 13,
      Escape: 27,
      ArrowLeft: 37,
      ArrowRight: 39,
      Tab: 9,
    };
    const code = key.length === 1 ? `Key${key.toUpperCase()}` : key;
    const event = {
      key,
      code,
      modifiers: alt ? 1 : 0,
      windowsVirtualKeyCode: codes[key] ?? key.toUpperCase().charCodeAt(0),
      ...(key === "Enter" && { text: "\r" }),
    };
    await this.send("Input.dispatchKeyEvent", {
      type: key === "Enter" ? "keyDown" : "rawKeyDown",
      ...event,
    });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event, text: undefined });
  }

  /** The page as a PNG. */
  async screenshot(
    path: string,
    { width, height = 800, dark = false }: { width: number; height?: number; dark?: boolean },
  ): Promise<void> {
    await this.send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: width < 600,
    });
    const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
    await this.send("Emulation.setEmulatedMedia", { features });
    await new Promise((go) => setTimeout(go, 150));
    const { data } = await this.send("Page.captureScreenshot") as { data: string };
    await Deno.writeFile(path, Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
  }
}

/** A browser process with a profile of its own. */
export class Browser implements AsyncDisposable {
  #process: Deno.ChildProcess;
  #socket: WebSocket;
  #profile: string;
  #waiting = new Map<number, Waiting>();
  #tabs = new Map<string, Tab>();
  #id = 0;

  private constructor(process: Deno.ChildProcess, socket: WebSocket, profile: string) {
    this.#process = process;
    this.#socket = socket;
    this.#profile = profile;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  static async open(path: string): Promise<Browser> {
    const profile = await Deno.makeTempDir();
    const flags = [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--window-size=1400,900",
    ];
    const quiet = ["--disable-background-networking", "--disable-extensions", "--mute-audio"];
    const process = new Deno.Command(path, {
      args: [...flags, ...quiet, "--remote-debugging-port=0", `--user-data-dir=${profile}`],
      stderr: "piped",
      stdout: "null",
    }).spawn();
    const lines = process.stderr.pipeThrough(new TextDecoderStream());
    let said = "", address: string | undefined;
    for await (const part of lines.values({ preventCancel: true })) {
      said += part;
      address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (address !== undefined) break;
    }
    if (address === undefined) throw new Error(`${path} did not start: ${said}`);
    void lines.pipeTo(new WritableStream()).catch(() => {}); // read on, or the process would wait
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Browser(process, socket, profile);
  }

  #take(message: {
    id?: number;
    result?: Record<string, unknown>;
    error?: { message: string };
    method?: string;
    sessionId?: string;
    params?: Record<string, unknown>;
  }): void {
    if (message.id !== undefined) {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error !== undefined) waiting?.reject(new Error(message.error.message));
      else waiting?.resolve(message.result ?? {});
      return;
    }
    const tab = this.#tabs.get(message.sessionId ?? "");
    const isComplaint = message.method === "Runtime.exceptionThrown" ||
      (message.method === "Log.entryAdded" &&
        (message.params?.entry as { level: string }).level === "error");
    if (isComplaint) tab?.complaints.push(JSON.stringify(message.params));
  }

  send(
    method: string,
    params: object = {},
    sessionId?: string,
  ): Promise<Record<string, unknown>> {
    const id = ++this.#id;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** A new page with the storage of the others. */
  async tab(address: string): Promise<Tab> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, sessionId as string);
    this.#tabs.set(sessionId as string, tab);
    for (const domain of ["Page", "Runtime", "Log"]) await tab.send(`${domain}.enable`);
    await tab.goTo(address);
    return tab;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.send("Browser.close").catch(() => {});
    this.#socket.close();
    await this.#process.status;
    // The browser's helpers may still write for a moment.
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        return await Deno.remove(this.#profile, { recursive: true });
      } catch {
        await new Promise((go) => setTimeout(go, 50));
      }
    }
  }
}
