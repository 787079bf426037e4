/**
 * A hub on loopback that can misbehave: cuts connections, sends wrong bytes, knows no ranges, refuses, is busy. Holds
 * no test; the tests of `lib/hub` and of tasks with names use it. Its listing and headers are as the real hub's.
 */
import { createHash } from "node:crypto";
import type { HubSettings } from "../../lib/hub/settings.ts";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";
export const OLD_COMMIT = "fedcba9876543210fedcba9876543210fedcba98";

export interface MockFile {
  bytes: Uint8Array<ArrayBuffer>;
  /** Stored by SHA-256, as weights are. */
  lfs: boolean;
}

/** What goes wrong; each may change while the hub runs. */
export interface Faults {
  /** Answers of this status, so many times, to addresses that match. */
  answer?: { status: number; times: number; at?: RegExp; headers?: Record<string, string> };
  /** Bytes after which a download is cut, so many times. */
  cut?: { after: number; times: number };
  /** Every byte sent is another one, so many times. */
  wrong?: { times: number };
  noRanges?: boolean;
  /** Files are read at this address, by a redirect. */
  elsewhere?: string;
  /** Weights trickle: milliseconds between their chunks. */
  slow?: number;
}

export interface MockHub extends AsyncDisposable {
  endpoint: string;
  faults: Faults;
  /** `METHOD path range authorization` of every request. */
  log: string[];
  /** Requests for files, by name. */
  count(file: string): number;
}

export const text = (value: string) => new TextEncoder().encode(value);
export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Uint8Array) =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
export const hashOf = ({ bytes, lfs }: MockFile) => lfs ? sha256(bytes) : gitHash(bytes);

/** Bytes that differ from each other. */
export const randomBytes = (length: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 2654435761 >>> 13) & 255);

/** A model without meaning: small texts, weights of `size` bytes, and files that nobody needs. */
export function someFiles(size = 300_000): Record<string, MockFile> {
  const small = (value: string) => ({ bytes: text(value), lfs: false });
  const large = (bytes: Uint8Array<ArrayBuffer>) => ({ bytes, lfs: true });
  return {
    "config.json": small(`{"a":1}`),
    "tokenizer.json": small(`{"b":2}`),
    "README.md": small("words"),
    "model.safetensors": large(randomBytes(size)),
    "pytorch_model.bin": large(randomBytes(100)),
    "model.gguf": large(randomBytes(90)),
    "consolidated.00.pth": large(randomBytes(80)),
  };
}

function bodyOf(bytes: Uint8Array<ArrayBuffer>, { faults }: Pick<MockHub, "faults">) {
  const { cut, slow } = faults, isCut = cut !== undefined && cut.times > 0;
  if (isCut) cut.times--;
  const end = isCut ? Math.min(cut.after, bytes.length) : bytes.length;
  let at = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (slow !== undefined) await new Promise((go) => setTimeout(go, slow));
      if (at < end) {
        controller.enqueue(bytes.slice(at, Math.min(at + 16_384, end)));
        at += 16_384;
      } else controller.close(); // short of its content-length, where it is to be cut
    },
  });
}

/** Sends a file or the part of it that is asked for. */
function send(
  { bytes: whole, ...file }: MockFile,
  { request, hub, commit }: { request: Request; hub: Pick<MockHub, "faults">; commit: string },
): Response {
  const { faults } = hub, hash = hashOf({ bytes: whole, ...file });
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
  let bytes: Uint8Array<ArrayBuffer> = whole;
  if (faults.wrong !== undefined && faults.wrong.times > 0) {
    faults.wrong.times--;
    bytes = whole.map((b) => b ^ 255);
  }
  // Python's huggingface_hub asks for these; here the listing tells them.
  const headers = { "x-repo-commit": commit, etag: `"${hash}"`, "x-linked-etag": `"${hash}"` };
  if (range === null || faults.noRanges) {
    return new Response(bodyOf(bytes, hub), {
      headers: { ...headers, "content-length": `${bytes.length}` },
    });
  }
  const from = Number(range[1]), last = whole.length - 1;
  const to = range[2] === "" ? last : Math.min(last, Number(range[2]));
  if (from >= whole.length) return new Response(null, { status: 416 });
  return new Response(bodyOf(bytes.slice(from, to + 1), hub), {
    status: 206,
    headers: {
      ...headers,
      "content-range": `bytes ${from}-${to}/${whole.length}`,
      "content-length": `${to + 1 - from}`,
    },
  });
}

/** Serves `files` as `org/tiny`, at COMMIT (main) and OLD_COMMIT (the tag v1, where `old` replaces some). */
export function openMockHub(
  files: Record<string, MockFile>,
  { old = {} }: { old?: Record<string, MockFile> } = {},
): MockHub {
  const log: string[] = [], state = { faults: {} as Faults };
  const at: Record<string, Record<string, MockFile>> = {
    [COMMIT]: files,
    [OLD_COMMIT]: { ...files, ...old },
  };
  const refs: Record<string, string> = { main: COMMIT, HEAD: COMMIT, v1: OLD_COMMIT };
  const fail = (status: number, code: string) =>
    new Response(null, { status, headers: { "x-error-code": code } });
  const answer = (request: Request): Response => {
    const { pathname } = new URL(request.url), { faults } = state, { headers, method } = request;
    log.push(`${method} ${pathname} ${headers.get("range")} ${headers.get("authorization")}`);
    const fault = faults.answer;
    if (fault !== undefined && fault.times > 0 && (fault.at ?? /./).test(pathname)) {
      fault.times--;
      return new Response(null, { status: fault.status, headers: fault.headers });
    }
    const api = /^\/api\/models\/org\/tiny\/(revision|tree)\/([^/]+)$/.exec(pathname);
    const file = /^\/org\/tiny\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    const revision = decodeURIComponent(api?.[2] ?? file?.[1] ?? "");
    if (api === null && file === null) return fail(404, "RepoNotFound");
    const commit = refs[revision] ?? revision, there = at[commit];
    if (there === undefined) return fail(404, "RevisionNotFound");
    if (file !== null) {
      const found = there[decodeURIComponent(file[2])];
      if (found === undefined) return fail(404, "EntryNotFound");
      return faults.elsewhere === undefined
        ? send(found, { request, hub: state, commit })
        : Response.redirect(`${faults.elsewhere}${pathname}`, 302);
    }
    if (api![1] === "revision") {
      const siblings = Object.keys(there).map((rfilename) => ({ rfilename }));
      return Response.json({ _id: "1", id: "org/tiny", sha: commit, siblings });
    }
    return Response.json(
      Object.entries(there).map(([path, one]) => ({
        ...{ type: "file", path, size: one.bytes.length },
        oid: one.lfs ? "0".repeat(40) : gitHash(one.bytes),
        ...(one.lfs && { lfs: { oid: sha256(one.bytes), size: one.bytes.length, pointerSize: 9 } }),
      })),
    );
  };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, answer);
  return {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    get faults() {
      return state.faults;
    },
    set faults(faults) {
      state.faults = faults;
    },
    log,
    count: (name) => log.filter((line) => line.includes(`/resolve/${COMMIT}/${name} `)).length,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Settings that ask this hub without long pauses, and keep what comes in `cache`. */
export const settingsOf = (hub: Pick<MockHub, "endpoint">, cache: string): HubSettings => ({
  ...{ endpoint: hub.endpoint, cache, offline: false, tries: 3, pause: 5, patience: 2000 },
  room: () => Promise.resolve(1e9),
});

/** Runs `use` with a hub of `files` and an empty cache. */
export async function withHub(
  files: Record<string, MockFile>,
  use: (world: { hub: MockHub; settings: HubSettings; cache: string }) => Promise<void>,
  options: { old?: Record<string, MockFile> } = {},
): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    await using hub = openMockHub(files, options);
    await use({ hub, settings: settingsOf(hub, cache), cache });
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}
