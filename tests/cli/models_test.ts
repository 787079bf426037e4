/** Tasks whose models are names of a hub on loopback; the library's functions with the same names. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openModels, rateOf } from "../../lib/cli/models.ts";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { loadTarget, writeDraft } from "../../lib/model/load.ts";
import { COMMIT, type MockHub, withHub } from "../hub/mock_hub.ts";
import { tinyModel } from "../hub/tiny_model.ts";
import { tinyDraft, tinyDraftConfig } from "../model/tiny.ts";
import { inFolder, ROOT, runTask } from "./tasks.ts";

const SHARD = "model-00001-of-00002.safetensors";
const RUN = ["run", "--quiet", "--no-prompt", "--config", join(ROOT, "deno.json")];
/** Sizes that are planned quickly. */
const SMALL = ["--inner", "16", "--context", "64", "--length", "16"];

/** Where Deno keeps what it compiled: not in a HOME that a test makes up. */
async function denoFolder(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

/** Runs `use` in a folder of its own; `task` runs tasks there that ask `hub`. */
async function withTasks(
  use: (world: {
    hub: MockHub;
    folder: string;
    env: Record<string, string>;
    task: (name: string, ...args: string[]) => ReturnType<typeof runTask>;
  }) => Promise<void>,
  changes: Record<string, unknown> = {},
): Promise<void> {
  await withHub(await tinyModel(changes), ({ hub, cache }) =>
    inFolder(async (folder) => {
      const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: cache, HF_TOKEN: "hf_test" };
      const task = (name: string, ...args: string[]) => runTask(folder, { task: name, args, env });
      await use({ hub, folder, env, task });
    }));
}

Deno.test("plan: a name is enough, no weights come, and the download is told", async () => {
  await withTasks(async ({ hub, task }) => {
    const { code, stdout, stderr } = await task("plan", "--target", "org/tiny", ...SMALL);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /download: 0\.1 MB \(2 files of 4, 0\.1 MB, 0\.00 B as F32\)/);
    const weights = hub.log.filter((line) => line.includes(SHARD));
    assert.deepEqual(weights.map((line) => /bytes=(\d)-/.exec(line)![1]), ["0", "8"], "its header");
    assert.equal(hub.count("config.json"), 1);
    assert.ok(hub.log.every((line) => line.endsWith("Bearer hf_test")));
  });
});

Deno.test("doctor: a draft is compared with a target by its name, and tied to it", async () => {
  await withTasks(async ({ folder, task }) => {
    await Deno.mkdir(join(folder, "mine"));
    await writeDraft(join(folder, "mine"), tinyDraft({ ...tinyDraftConfig(), target: undefined }));
    const args = ["mine", "--target", "org/tiny", "--convert", "out", "--json"];
    const { code, stderr } = await task("doctor", ...args);
    assert.equal(code, 0, stderr);
    assert.match(stderr, new RegExp(`fits the target +\\S+snapshots.${COMMIT} [0-9a-f]{16}\n`));
    const { griffin } = JSON.parse(await Deno.readTextFile(join(folder, "out/config.json")));
    assert.match(griffin.target, /^[0-9a-f]{16}$/);
  });
});

Deno.test("fetch, then export offline by the same name; the folder is that of the library", async () => {
  await withTasks(async ({ hub, folder, env, task }) => {
    const fetched = await task("fetch", "org/tiny", "--json");
    assert.equal(fetched.code, 0, fetched.stderr);
    const { [`org/tiny@${COMMIT}`]: place } = JSON.parse(fetched.stdout);
    const target = await loadTarget(place, { backend: referenceBackend() });
    assert.equal(target.config.layers, 2);
    const asked = hub.log.length;
    await writeDraft(folder, tinyDraft(tinyDraftConfig(undefined, { target: target.identity })));
    const args = ["--target", "org/tiny", "--draft", folder, "--offline", "--json"];
    const { code, stdout, stderr } = await task("export", ...args);
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).target, target.identity);
    assert.equal(hub.log.length, asked);
    for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
    try {
      const named = await loadTarget("org/tiny", { backend: referenceBackend() });
      assert.deepEqual([named.folder, named.identity], [place, target.identity]);
      const values = { target: "org/tiny", draft: "data/draft", offline: true };
      const declared = { target: { model: "target" }, draft: { model: "draft" } } as const;
      const { signal } = new AbortController();
      assert.deepEqual(await openModels(declared, values, { signal }), {
        folders: { target: place },
        names: { target: `org/tiny@${COMMIT}` },
      });
    } finally {
      for (const name of Object.keys(env)) Deno.env.delete(name);
    }
  });
});

Deno.test("a model that cannot be used is refused before its weights come", async () => {
  await withTasks(async ({ hub, task }) => {
    const { code, stderr } = await task("export", "--target", "org/tiny");
    assert.equal(code, 1);
    assert.match(stderr, /architecture is OtherForCausalLM, wanted LlamaForCausalLM/);
    assert.equal(hub.count(SHARD), 0);
  }, { architectures: ["OtherForCausalLM"] });
});

Deno.test("errors are one line: no such model, nothing in the cache, no permission", async () => {
  await withTasks(async ({ hub, folder, env, task }) => {
    const absent = await task("eval", "--target", "org/absent");
    assert.match(absent.stderr, /^error: Cannot find org\/absent@main at [^\n]+ here\n$/);
    const offline = await task("data", "--target", "org/tiny", "--offline");
    assert.match(
      offline.stderr,
      /^error: Cannot load org\/tiny: nothing may be downloaded [^\n]+\n$/,
    );
    const asked = hub.log.length;
    const narrow = [
      "--allow-write=runs",
      "--allow-read",
      "--allow-env",
      "--allow-sys",
      "--allow-net",
    ];
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...RUN, ...narrow, join(ROOT, "lib/cli/fetch.ts"), "org/tiny"],
      ...{ cwd: folder, env },
    }).output();
    const told = new TextDecoder().decode(stderr);
    assert.match(
      told,
      /Cannot download org\/tiny@main: Requires write access to .*deno task fetch org/,
    );
    assert.ok(hub.log.length > asked);
  });
});

Deno.test("Ctrl-C stops a download, and the same command goes on", async () => {
  await withTasks(async ({ hub, folder, env, task }) => {
    hub.faults = { slow: 300 };
    const child = new Deno.Command(Deno.execPath(), {
      args: [...RUN, "-A", join(ROOT, "lib/cli/fetch.ts"), "org/tiny"],
      ...{ cwd: folder, env, stdout: "null", stderr: "null" },
    }).spawn();
    while (hub.count(SHARD) === 0) await new Promise((go) => setTimeout(go, 20));
    child.kill("SIGINT");
    assert.equal((await child.status).code, 130);
    hub.faults = {};
    assert.equal((await task("fetch", "org/tiny")).code, 0);
  });
});

Deno.test("chat downloads with its own permissions, where Python does by default", async () => {
  await withTasks(async ({ hub, folder, env: { HF_ENDPOINT } }) => {
    const { tasks } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
    const allowed = (tasks.chat.command as string).replaceAll("$HOME", folder).split(" ")
      .filter((word) => word.startsWith("--allow"));
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...RUN, ...allowed, join(ROOT, "lib/cli/chat.ts"), "--target", "org/tiny"],
      cwd: folder,
      env: { HF_ENDPOINT, HOME: folder, HF_HOME: "", DENO_DIR: await denoFolder() },
    }).output();
    // What comes after the download.
    assert.match(
      new TextDecoder().decode(stderr),
      /^error: Cannot find data.draft: data is a folder/,
    );
    const snapshot = `.cache/huggingface/hub/models--org--tiny/snapshots/${COMMIT}`;
    const [{ size }, { length }] = [await Deno.stat(join(folder, snapshot, SHARD)), hub.log];
    assert.ok(size > 1000 && length === 6);
  });
});

Deno.test("rate: over the last events, none before the second", () => {
  const rate = rateOf();
  assert.equal(rate(5, 1000), 0);
  assert.equal(rate(105, 2000), 100);
  for (let i = 2; i < 60; i++) rate(105, 1000 * (i + 1));
  assert.equal(rate(1105, 61_000), 1000 / 49, "the first ones are forgotten");
});
