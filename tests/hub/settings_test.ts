/** The variables of Python's huggingface_hub, in its order. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { hubSettings } from "../../lib/hub/settings.ts";

const settings = (env: Record<string, string>) => hubSettings((name) => env[name]);

Deno.test("settings: the cache by HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME", () => {
  const env: Record<string, string> = {};
  const order: [name: string, value: string, cache: string][] = [
    ["USERPROFILE", "user", join("user", ".cache/huggingface/hub")],
    ["HOME", "home", join("home", ".cache/huggingface/hub")],
    ["XDG_CACHE_HOME", "xdg", join("xdg", "huggingface/hub")],
    ["HF_HOME", "~/hf", "home/hf/hub"],
    ["HUGGINGFACE_HUB_CACHE", "older", "older"],
    ["HF_HUB_CACHE", "newer", "newer"],
  ];
  for (const [name, value, cache] of order) {
    env[name] = value;
    assert.equal(settings(env).cache, cache, name);
  }
});

Deno.test("settings: endpoint and offline", () => {
  assert.equal(settings({}).endpoint, "https://huggingface.co");
  assert.equal(settings({ HF_ENDPOINT: "http://localhost:1/" }).endpoint, "http://localhost:1");
  assert.equal(settings({}).offline, false);
  for (const value of ["1", "on", "YES", "true"]) {
    assert.equal(settings({ HF_HUB_OFFLINE: value }).offline, true);
  }
  assert.equal(settings({ HF_HUB_OFFLINE: "0" }).offline, false);
  assert.equal(settings({ TRANSFORMERS_OFFLINE: "1" }).offline, true);
});

Deno.test("settings: the token of a variable goes before that of the file; the disk tells its room", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(settings({ HF_HOME: folder }).token, undefined);
    await Deno.writeTextFile(join(folder, "token"), "hf_file\n");
    assert.equal(settings({ HF_HOME: folder }).token, "hf_file");
    assert.equal(settings({ HF_HOME: folder, HF_TOKEN: "hf_own" }).token, "hf_own");
    await Deno.writeTextFile(join(folder, "other"), "hf_other");
    const path = join(folder, "other");
    assert.equal(settings({ HF_HOME: folder, HF_TOKEN_PATH: path }).token, "hf_other");
    assert.ok(await settings({}).room(folder) > 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
