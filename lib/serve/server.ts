/**
 * The chat server: routes requests to the page's files, the page's API and OpenAI's, and answers errors in OpenAI's
 * shape. One model; requests stand in its line. Opened by `lib/cli/chat.ts`. The walk of a request: `guard.ts`,
 * `requests.ts`, `desk.ts`, `reply.ts`, then `page_api.ts` or `openai.ts`, `event_stream.ts`.
 */
import { Desk } from "./desk.ts";
import { eventStream } from "./event_stream.ts";
import { checkSource, HEADERS, readBody } from "./guard.ts";
import { chunks, completion, errorBody, headingOf } from "./openai.ts";
import { modelInfo, pageLines } from "./page_api.ts";
import { readPageFiles } from "./page_files.ts";
import type { ChatModel } from "./reply.ts";
import { type Defaults, readRequest, RequestError } from "./requests.ts";
import { LineFull } from "./turns.ts";

export interface ServerOptions {
  model: ChatModel;
  defaults: Defaults;
  hostname?: string;
  /** 0: any that is free. */
  port?: number;
  /** Names that it answers to beside addresses and `localhost`. */
  names?: readonly string[];
  /** Requests that may wait beside the one that is answered. */
  waiting?: number;
  /** A client that reads nothing for so long, milliseconds, counts as gone. */
  stallMs?: number;
}

export interface ChatServer extends AsyncDisposable {
  /** Where it listens, as an address to open. */
  readonly address: string;
  readonly desk: Desk;
  /** Lets nobody in any more, turns away who waits, and resolves when the reply in work has ended. */
  close(): Promise<void>;
  /** Stops at once: replies are cut off. */
  kill(): Promise<void>;
}

function json(value: unknown, { status = 200, headers = {} }: ResponseInit = {}): Response {
  return Response.json(value, { status, headers: { ...HEADERS, ...headers } });
}

/** The response to whatever went wrong before an answer began. */
function errorResponse(cause: unknown): Response {
  if (cause instanceof LineFull) {
    const status = cause.closed ? 503 : 429;
    const code = cause.closed ? "stopping" : "queue_full";
    const headers = { "retry-after": `${cause.retryAfter}` };
    const refused = new RequestError(cause.message, { status, code });
    return json(errorBody(refused), { status, headers });
  }
  const status = cause instanceof RequestError ? cause.status : 500;
  return json(errorBody(cause), { status });
}

/** What the process holds, bytes. */
function memory(): { resident: number; heap: number } {
  const { rss: resident, heapUsed: heap } = Deno.memoryUsage();
  return { resident, heap };
}

const EVENTS = { ...HEADERS, "content-type": "text/event-stream", "x-accel-buffering": "no" };

/** Answers requests. The page's files are read here. */
export async function chatHandler(
  { model, defaults, names = [], waiting, stallMs }: ServerOptions,
): Promise<{ desk: Desk; handle: (request: Request) => Promise<Response> }> {
  const desk = new Desk(model, { waiting }), files = await readPageFiles();
  const instance = crypto.randomUUID(), started = Math.floor(Date.now() / 1000);
  const { identity } = model.target.target;
  const card = { id: model.name, object: "model", created: started, owned_by: "griffin-lab" };

  /** Takes a place and streams the lines made of the events. */
  function stream(
    ask: Parameters<Desk["ask"]>[0],
    lines: (events: ReturnType<Desk["ask"]>["events"]) => AsyncGenerator<string>,
  ): Response {
    const abort = new AbortController();
    const answer = desk.ask(ask, { signal: abort.signal });
    const done = () => answer.leave();
    const body = eventStream(lines(answer.events), { abort, done, stallMs });
    return new Response(body, { headers: EVENTS });
  }

  async function openai(request: Request): Promise<Response> {
    const body = await readBody(request), asked = readRequest(body, { model, defaults });
    const fields = body as Record<string, unknown>;
    if (typeof fields.model !== "string") {
      throw new RequestError("Cannot answer: found no model, wanted its name", { param: "model" });
    }
    if (fields.model !== model.name) {
      const found = fields.model.slice(0, 80);
      throw new RequestError(`Cannot answer: found no model ${found}, wanted ${model.name}`, {
        status: 404,
        param: "model",
        code: "model_not_found",
      });
    }
    if (asked.mode === "both") {
      throw new RequestError("Cannot use mode: found both, wanted speculative or plain", {
        param: "mode",
      });
    }
    const heading = headingOf(model.name, identity);
    if (fields.stream === true) {
      const more = fields.stream_options as { include_usage?: unknown } | null | undefined;
      const includeUsage = more?.include_usage === true;
      return stream(asked, (events) => chunks(events, { heading, request: asked, includeUsage }));
    }
    const answer = desk.ask(asked, { signal: request.signal });
    try {
      const whole = await completion(answer.events, { heading, request: asked });
      // Nobody reads this: the client went away.
      return whole === undefined ? new Response(null, { status: 499 }) : json(whole);
    } finally {
      answer.leave();
    }
  }

  async function page(request: Request): Promise<Response> {
    const body = await readBody(request), asked = readRequest(body, { model, defaults });
    return stream(asked, (events) => pageLines(events, asked));
  }

  const routes: Record<
    string,
    Partial<Record<string, (r: Request) => Response | Promise<Response>>>
  > = {
    "/v1/models": { GET: () => json({ object: "list", data: [card] }) },
    [`/v1/models/${encodeURIComponent(model.name)}`]: { GET: () => json(card) },
    "/v1/chat/completions": { POST: openai },
    "/api/chat": { POST: page },
    "/api/info": { GET: () => json({ instance, ...modelInfo(model, defaults) }) },
    "/api/status": {
      GET: () => json({ instance, line: desk.line, ...desk.counts, memory: memory() }),
    },
  };

  async function handle(request: Request): Promise<Response> {
    try {
      checkSource(request, { names });
      const { pathname } = new URL(request.url), method = request.method;
      const file = files.get(pathname);
      if (file !== undefined && (method === "GET" || method === "HEAD")) {
        const headers = { ...HEADERS, "content-type": file.type };
        return new Response(method === "HEAD" ? null : file.text, { headers });
      }
      const route = routes[pathname];
      if (route === undefined && file === undefined) {
        throw new RequestError(`Found nothing at ${pathname.slice(0, 80)}`, { status: 404 });
      }
      const answer = route?.[method];
      if (answer === undefined) {
        throw new RequestError(`Cannot ${method} ${pathname}`, { status: 405 });
      }
      return await answer(request);
    } catch (cause) {
      return errorResponse(cause);
    }
  }
  return { desk, handle };
}

/** Opens the server. @throws when the port is taken. */
export async function openChatServer(options: ServerOptions): Promise<ChatServer> {
  const { hostname = "127.0.0.1", port = 0, names = [] } = options;
  const { desk, handle } = await chatHandler({ ...options, names: [...names, hostname] });
  const abort = new AbortController(), { signal } = abort;
  const server = Deno.serve({ hostname, port, signal, onListen() {} }, handle);
  const shown = hostname.includes(":") ? `[${hostname}]` : hostname;
  async function close() {
    desk.close();
    await server.shutdown();
  }
  return {
    address: `http://${shown}:${server.addr.port}/`,
    desk,
    close,
    async kill() {
      desk.close();
      abort.abort();
      await server.finished;
    },
    [Symbol.asyncDispose]: close,
  };
}
