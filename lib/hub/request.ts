/**
 * One request to the hub: tried again where that can help (429, 5xx, no connection, no answer), as late as the server
 * asks for; otherwise one error that says what to do. Bodies that are cut while they are read: `download.ts`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ModelName } from "./name.ts";
import type { HubSettings } from "./settings.ts";

/** The hub could not be asked: a copy in the cache may do instead. */
export class HubUnreachable extends Error {}

/** Longest pause that is waited for; a server that asks for more is told of in an error. Milliseconds. */
const LONGEST_PAUSE = 300_000;

/** What a request is for, and how it is made. */
export interface Asking {
  model: ModelName;
  settings: HubSettings;
  signal?: AbortSignal;
}

/** Milliseconds that a server asks to wait, by `Retry-After` in seconds or as a date. */
export function retryAfter(value: string | null, now = Date.now()): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? 1000 * Number(value) : Date.parse(value) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** The wait before try `n + 1`: doubled each time, and up to half as much again, so that clients spread. */
export const backoff = (n: number, { pause }: Pick<HubSettings, "pause">) =>
  pause * 2 ** (n - 1) * (1 + Math.random() / 2);

/** @throws what the answer means for the user. */
function refuse(response: Response, { model: { id, revision }, settings }: Asking): never {
  const { status, headers } = response, { endpoint, token } = settings;
  const code = headers.get("x-error-code") ?? "", page = `${endpoint}/${id}`;
  const lacking = `no such model, nor a folder of that name here`;
  if (code === "GatedRepo" || (status === 403 && token !== undefined)) {
    throw new Error(
      token === undefined
        ? `Cannot download ${id}: it is gated. Accept its licence at ${page} and set HF_TOKEN`
        : `Cannot download ${id}: the account of this token has no access. Accept its licence at ${page}, ` +
          `or set HF_TOKEN to a token that may read it`,
    );
  }
  if (status === 401 || status === 403) {
    throw new Error(
      token === undefined
        ? `Cannot download ${id} from ${endpoint}: ${lacking}; or it is private or gated: ` +
          `accept its licence at ${page} and set HF_TOKEN`
        : `Cannot download ${id} from ${endpoint}: HF_TOKEN was refused (${status}), or ${lacking}`,
    );
  }
  if (status === 404 && code === "RevisionNotFound") {
    throw new Error(`Cannot find revision ${revision} of ${id} at ${endpoint}`);
  }
  if (status === 404 && code === "EntryNotFound") {
    throw new Error(`Cannot download ${response.url}: no such file in revision ${revision}`);
  }
  if (status === 404) throw new Error(`Cannot find ${id}@${revision} at ${endpoint}: ${lacking}`);
  throw new Error(`Cannot download ${id}: ${endpoint} answered ${status}`);
}

/** An answer's head within `patience`, whatever its status. */
async function answerOf(
  url: string,
  { headers, settings, signal }: Asking & { headers: Headers },
): Promise<Response> {
  const late = new AbortController();
  const clock = setTimeout(() => late.abort(new Error("no answer")), settings.patience);
  try {
    const signals = signal === undefined ? [late.signal] : [late.signal, signal];
    return await fetch(url, { headers, signal: AbortSignal.any(signals) });
  } finally {
    clearTimeout(clock);
  }
}

/**
 * The answer to a GET, its status 2xx. The token goes to the endpoint alone: a redirect to another host does not
 * carry it.
 * @throws {HubUnreachable} when all tries failed; other errors where the hub refuses.
 */
export async function request(
  url: string,
  asking: Asking & { headers?: Record<string, string> },
): Promise<Response> {
  const { settings, signal, model: { id } } = asking, { endpoint, token, tries } = settings;
  // As they are stored: parts of a packed answer could not be put together.
  const headers = new Headers({ "accept-encoding": "identity", ...asking.headers });
  if (token !== undefined && new URL(url).origin === new URL(endpoint).origin) {
    headers.set("authorization", `Bearer ${token}`);
  }
  for (let n = 1;; n++) {
    signal?.throwIfAborted();
    let wait = backoff(n, settings), reason: string;
    try {
      const response = await answerOf(url, { ...asking, headers });
      if (response.ok) return response;
      await response.body?.cancel();
      // A store of files refuses when its address has grown old; the hub gives a new one.
      const isHub = new URL(response.url).origin === new URL(endpoint).origin;
      if (isHub && response.status !== 429 && response.status < 500) refuse(response, asking);
      wait = retryAfter(response.headers.get("retry-after")) ?? wait;
      reason = `answered ${response.status}`;
    } catch (cause) {
      signal?.throwIfAborted();
      // Deno tells a network error by its type, and a missing permission by another.
      if (!(cause instanceof TypeError) && (cause as Error).message !== "no answer") throw cause;
      const inner = (cause as Error).cause instanceof Error ? (cause as Error).cause : cause;
      const why = (inner as Error).message.replace(/^error sending request[^:]* \(.*?\): /, "");
      reason = `cannot be reached (${why})`;
    }
    const told = `Cannot download ${id}: ${endpoint} ${reason}`;
    if (wait > LONGEST_PAUSE) {
      throw new HubUnreachable(`${told} and asks to wait ${Math.ceil(wait / 60_000)} minutes`);
    }
    if (n >= tries) throw new HubUnreachable(n === 1 ? told : `${told}, ${n} times`);
    await sleep(wait, undefined, { signal });
  }
}
