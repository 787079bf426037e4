/**
 * What is let in: requests to a name of this machine, from pages of this server, with bodies of bounded size. A foreign
 * page can neither post here (its Origin is refused) nor take our place by pointing its own name at this machine (the
 * Host is refused). It asks no password: who may reach the port may chat. Next on the walk: `server.ts`.
 */
import { isIP } from "node:net";
import { RequestError } from "./requests.ts";

/** Bytes of a body at most. */
export const BODY_BYTES = 1 << 20;

/** A policy under which nothing but this server's own files runs, and no text becomes markup. */
export const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** Headers of every response. */
export const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

/** The name in `host:port`, lower case, brackets of an IPv6 address taken off. */
export function hostName(host: string): string {
  const name = host.toLowerCase().replace(/:\d+$/, "");
  return name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
}

/**
 * Checks where a request goes and where it comes from.
 * @param names that the server answers to beside addresses and `localhost`
 * @throws {@link RequestError} 403 naming what was found.
 */
export function checkSource(request: Request, { names = [] }: { names?: readonly string[] } = {}) {
  const host = request.headers.get("host") ?? "", name = hostName(host);
  // An address cannot be rebound; a name can, by whoever owns it.
  if (isIP(name) === 0 && name !== "localhost" && !names.includes(name)) {
    throw new RequestError(
      `Refused: the request is for ${
        name.slice(0, 80) || "no host"
      }, which is not this server's name`,
      { status: 403, code: "foreign_host" },
    );
  }
  const origin = request.headers.get("origin"), site = request.headers.get("sec-fetch-site");
  const isOwn = origin === null
    ? site === null || site !== "cross-site" || isNavigation(request)
    : origin === `http://${host}` || origin === `https://${host}`;
  if (!isOwn) {
    throw new RequestError(
      `Refused: the request comes from ${(origin ?? "another site").slice(0, 80)}`,
      { status: 403, code: "foreign_origin" },
    );
  }
}

/** A link to the page from elsewhere is followed; scripts from elsewhere are not answered. */
const isNavigation = ({ method, headers }: Request) =>
  method === "GET" && headers.get("sec-fetch-mode") === "navigate" &&
  headers.get("sec-fetch-dest") === "document";

/**
 * The body as JSON.
 * @throws {@link RequestError} 415 for another type of content, 413 beyond {@link BODY_BYTES}, 400 for no JSON.
 */
export async function readBody(request: Request): Promise<unknown> {
  const type = (request.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  // Other types can be sent by a foreign page without asking first.
  if (type !== "application/json") {
    throw new RequestError(
      `Cannot read the body: found content of type ${
        type.slice(0, 40) || "none"
      }, wanted application/json`,
      { status: 415 },
    );
  }
  const tooLarge = () =>
    new RequestError(`Cannot read the body: wanted at most ${BODY_BYTES} bytes`, { status: 413 });
  if (Number(request.headers.get("content-length") ?? 0) > BODY_BYTES) throw tooLarge();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.byteLength;
    if (bytes > BODY_BYTES) throw tooLarge();
    parts.push(part);
  }
  try {
    return JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(await new Blob(parts).bytes()),
    );
  } catch {
    throw new RequestError("Cannot read the body: wanted JSON in UTF-8");
  }
}
