/**
 * Where the hub is, where its cache lies, who asks: read from the variables that Python's huggingface_hub reads, so
 * that both use one cache and one token.
 */
import { readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";

export interface HubSettings {
  /** Address without a slash at its end. */
  endpoint: string;
  /** Folder of `models--ORG--NAME`. */
  cache: string;
  /** Sent to the endpoint only. */
  token?: string;
  /** Nothing is asked over the network. */
  offline: boolean;
  /** Times a request is tried. */
  tries: number;
  /** Milliseconds before the second try; doubled each time. */
  pause: number;
  /** Milliseconds without a byte after which a connection counts as cut. */
  patience: number;
  /** Bytes that may still be written where a folder lies. */
  room: (folder: string) => Promise<number>;
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

const isOn = (value: string | undefined) => /^(1|on|yes|true)$/i.test(value ?? "");

function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    return undefined; // nobody has logged in
  }
}

/** The settings of the environment; `env` gives its variables. */
export function hubSettings(
  env: (name: string) => string | undefined = (name) => Deno.env.get(name),
): HubSettings {
  const get = (name: string) => env(name) || undefined; // empty is as good as absent
  const user = get("HOME") ?? get("USERPROFILE") ?? ".";
  const folder = (name: string) => get(name)?.replace(/^~(?=$|[\\/])/, user);
  const home = folder("HF_HOME") ??
    join(folder("XDG_CACHE_HOME") ?? join(user, ".cache"), "huggingface");
  const cache = folder("HF_HUB_CACHE") ?? folder("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub");
  const token = get("HF_TOKEN")?.trim() ?? get("HUGGING_FACE_HUB_TOKEN")?.trim() ??
    readToken(folder("HF_TOKEN_PATH") ?? join(home, "token"));
  return {
    endpoint: (get("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    cache,
    ...(token !== undefined && { token }),
    offline: isOn(get("HF_HUB_OFFLINE") ?? get("TRANSFORMERS_OFFLINE")),
    tries: 6,
    pause: 1000,
    patience: 30_000,
    room: freeBytes,
  };
}
