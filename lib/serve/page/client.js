/**
 * Talking to the server: its description, and a reply as an async generator of events. It draws nothing. The other
 * side: `page_api.ts`.
 */

/** A failure to tell people; `status` 0 when the server was not reached. */
export class Failure extends Error {
  constructor(message, { status = 0 } = {}) {
    super(message);
    this.status = status;
  }
}

/** What the server says of its model. @throws {Failure} */
export async function fetchInfo() {
  let response;
  try {
    response = await fetch("/api/info", { signal: AbortSignal.timeout(5000) });
  } catch {
    throw new Failure("The server does not answer.");
  }
  if (!response.ok) throw new Failure(`The server answers ${response.status}.`, response);
  return await response.json();
}

async function refusal(response) {
  let message = `The server answers ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // not from our server; its status says enough
  }
  const wait = response.headers.get("retry-after");
  if (wait !== null) message += `. Try again in ${wait} s.`;
  return new Failure(message, response);
}

/** Takes whole events off the beginning of a text; returns them and the rest. */
export function takeEvents(text) {
  const parts = text.split("\n\n"), rest = parts.pop();
  const events = parts.filter((part) => part.startsWith("data: ")).map((part) =>
    JSON.parse(part.slice(6))
  );
  return { events, rest };
}

/** The events of a reply. @throws {Failure} also when the server ends it before its end. */
export async function* fetchReply(request, { signal }) {
  let response;
  try {
    response = await fetch("/api/chat", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
      signal,
    });
  } catch (cause) {
    if (signal.aborted) return;
    throw new Failure("The server does not answer.", { cause });
  }
  if (!response.ok) throw await refusal(response);
  const open = new Set(request.mode === "both" ? ["plain", "speculative"] : [request.mode]);
  let text = "";
  try {
    // By hand: not every browser iterates over streams.
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const { events, rest } = takeEvents(text + part.value);
      text = rest;
      for (const event of events) {
        if (event.type === "error") throw new Failure(event.error.message, { status: 500 });
        if (event.type === "reply" && event.row.type === "end") open.delete(event.side);
        yield event;
      }
    }
  } catch (cause) {
    if (signal.aborted) return;
    if (cause instanceof Failure) throw cause;
    throw new Failure("The connection to the server broke.");
  }
  if (open.size > 0 && !signal.aborted) throw new Failure("The connection to the server broke.");
}
