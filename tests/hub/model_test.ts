/** Models by name, from a hub on loopback: what is downloaded, what of the cache is used, what is refused. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fetchModel, modelFolder, nameOfFolder, remoteModel } from "../../lib/hub/model.ts";
import type { DownloadEvent } from "../../lib/hub/bring.ts";
import { COMMIT, OLD_COMMIT, randomBytes, someFiles, text, withHub } from "./mock_hub.ts";

const MAIN = { id: "org/tiny", revision: "main" };
const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
const small = (value: unknown) => ({ bytes: text(JSON.stringify(value)), lfs: false });

Deno.test("a model is downloaded once, only the files that are needed, and its folder given", async () => {
  const files = someFiles();
  await withHub(files, async ({ hub, settings, cache }) => {
    const folder = await modelFolder("org/tiny", { settings });
    assert.equal(folder, join(cache, "models--org--tiny/snapshots", COMMIT));
    assert.equal(nameOfFolder(folder), `org/tiny@${COMMIT}`);
    assert.deepEqual(names(folder), ["config.json", "model.safetensors", "tokenizer.json"]);
    for (const name of names(folder)) {
      assert.deepEqual(await Deno.readFile(join(folder, name)), files[name].bytes);
    }
    const asked = hub.log.length;
    assert.equal(await modelFolder("org/tiny", { settings }), folder);
    assert.equal(hub.log.length, asked + 2, "commit and listing, no file");
  });
});

Deno.test("events count the bytes that were missing, and end with the folder", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    hub.faults = { slow: 20 }; // 19 chunks: longer than the time between events
    const events = await Array.fromAsync(fetchModel(MAIN, { settings }));
    const weights = events.filter((e): e is DownloadEvent => e.type === "download").slice(1);
    assert.ok(weights.length > 2, `${weights.length} events`);
    assert.deepEqual(new Set(weights.map(({ total, files }) => `${total} ${files}`)).size, 1);
    assert.deepEqual(weights.at(-1), { type: "download", done: 3e5, total: 3e5, files: 1 });
    assert.ok(weights.every(({ done }, i) => i === 0 || done >= weights[i - 1].done));
    assert.deepEqual(events.at(-1)!.type, "ready");
  });
});

Deno.test("shards are those that the index names; another format is left alone", async () => {
  const shard = { bytes: randomBytes(1000), lfs: true };
  const files = {
    "config.json": small({}),
    "model.safetensors.index.json": small({
      weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
    }),
    "model-00001-of-00002.safetensors": shard,
    "model-00002-of-00002.safetensors": { bytes: randomBytes(500), lfs: true },
    "model-00003-of-00002.safetensors": shard,
    "pytorch_model.bin": shard,
  };
  await withHub(files, async ({ settings }) => {
    const wanted = Object.keys(files).slice(0, 4).sort();
    assert.deepEqual(names(await modelFolder("org/tiny", { settings })), wanted);
  });
  const { "model.safetensors": _, ...torch } = someFiles();
  await withHub(torch, async ({ settings }) => {
    const found = names(await modelFolder("org/tiny", { settings }));
    assert.deepEqual(found, ["config.json", "pytorch_model.bin", "tokenizer.json"]);
    const { values, files } = await remoteModel(MAIN, { settings });
    assert.deepEqual([values, files.at(-1)!.size], [undefined, 100]);
  });
});

Deno.test("an index that names a file from elsewhere is refused", async () => {
  const files = {
    "config.json": small({}),
    "model.safetensors.index.json": small({ weight_map: { a: "../../../../../secret" } }),
  };
  await withHub(files, async ({ settings }) => {
    const refused = /Cannot find \.\.\/.*secret: the index of the weights names it/;
    await assert.rejects(modelFolder("org/tiny", { settings }), refused);
  });
});

Deno.test("a model without weights or configuration is refused with what it holds", async () => {
  const { "model.safetensors": _, "pytorch_model.bin": __, ...without } = someFiles();
  await withHub(without, async ({ settings }) => {
    const found = /Cannot use org\/tiny: it has no model\.safetensors .*found .*model\.gguf/;
    await assert.rejects(modelFolder("org/tiny", { settings }), found);
    assert.equal(names(await modelFolder("org/tiny", { settings, weights: false })).length, 2);
  });
  const { "config.json": ___, ...blank } = someFiles();
  await withHub(blank, async ({ settings }) => {
    const refused = /Cannot use org\/tiny@main: it has no config\.json/;
    await assert.rejects(modelFolder("org/tiny", { settings }), refused);
  });
});

Deno.test("a revision: a tag is followed, and a commit asks nobody once it is there", async () => {
  const old = { "config.json": { bytes: text(`{"old":1}`), lfs: false } };
  await withHub(someFiles(), async ({ hub, settings, cache }) => {
    const folder = await modelFolder("org/tiny@v1", { settings });
    assert.ok(folder.endsWith(OLD_COMMIT));
    assert.equal(await Deno.readTextFile(join(folder, "config.json")), `{"old":1}`);
    assert.equal(
      await Deno.readTextFile(join(cache, "models--org--tiny/refs/v1")),
      OLD_COMMIT,
    );
    const asked = hub.log.length;
    assert.equal(await modelFolder(`org/tiny@${OLD_COMMIT}`, { settings }), folder);
    assert.equal(hub.log.length, asked);
    await modelFolder("org/tiny", { settings });
    assert.equal(hub.count("model.safetensors"), 0, "the same blob at both commits");
    assert.equal(hub.count("config.json"), 1);
    const lost = /Cannot find revision v2 of org\/tiny at http/;
    await assert.rejects(modelFolder("org/tiny@v2", { settings }), lost);
  }, { old });
});

Deno.test("offline, the copy in the cache is used; what it lacks is named", async () => {
  await withHub(someFiles(), async ({ hub, settings, cache }) => {
    const offline = { ...settings, offline: true };
    const none = /Cannot load org\/tiny: nothing may be downloaded \(offline\), and .* no copy of/;
    await assert.rejects(modelFolder("org/tiny", { settings: offline }), none);
    assert.equal(hub.log.length, 0);
    const folder = await modelFolder("org/tiny", { settings });
    const asked = hub.log.length;
    assert.equal(await modelFolder("org/tiny", { settings: offline }), folder);
    assert.equal(hub.log.length, asked);
    await Deno.remove(join(folder, "model.safetensors"));
    const lacking = /offline\), and the copy .* lacks model\.safetensors/;
    await assert.rejects(modelFolder("org/tiny", { settings: offline }), lacking);
    assert.equal(await modelFolder("org/tiny", { settings: offline, weights: false }), folder);
    assert.ok(folder.startsWith(cache));
  });
});

Deno.test("a hub that cannot be reached: the copy is used and this is told, or the reason is", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    const folder = await modelFolder("org/tiny", { settings });
    hub.faults = { answer: { status: 503, times: 99 } };
    const [event] = await Array.fromAsync(fetchModel(MAIN, { settings }));
    assert.ok(event.type === "ready" && event.folder === folder);
    assert.match(event.unreachable!, / answered 503$/);
    await hub[Symbol.asyncDispose]();
    const [closed] = await Array.fromAsync(fetchModel(MAIN, { settings }));
    assert.match(closed.type === "ready" && closed.unreachable || "", /cannot be reached/);
    await assert.rejects(
      modelFolder("org/other", { settings }),
      /Cannot download org\/other: .*cannot be reached.*, 3 times; and .* no copy of revision main/,
    );
  });
});

Deno.test("texts alone do not take the place of a copy with weights", async () => {
  const changed = { "config.json": small({ newer: 1 }) };
  await withHub(someFiles(), async ({ hub, settings, cache }) => {
    const folder = await modelFolder(`org/tiny@${OLD_COMMIT}`, { settings });
    const refs = join(cache, "models--org--tiny/refs");
    await Deno.mkdir(refs);
    await Deno.writeTextFile(join(refs, "main"), OLD_COMMIT); // main has moved on since
    const texts = await modelFolder("org/tiny", { settings, weights: false });
    assert.ok(texts.endsWith(COMMIT) && hub.count("model.safetensors") === 0);
    assert.equal(
      await modelFolder("org/tiny", { settings: { ...settings, offline: true } }),
      folder,
    );
  }, { old: changed });
});

Deno.test("a full disk is told before the first byte, with the bytes", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    const full = { ...settings, room: () => Promise.resolve(1000) };
    const told =
      /Cannot download org\/tiny: 0\.3 MB \(300000 bytes\) are missing, .* has room for 0\.0 MB \(1000 bytes\)/;
    await assert.rejects(modelFolder("org/tiny", { settings: full }), told);
    assert.equal(hub.count("model.safetensors"), 0);
  });
});

Deno.test("a stopped download goes on where it was", async () => {
  await withHub(someFiles(), async ({ hub, settings, cache }) => {
    hub.faults = { slow: 15 };
    const stop = new AbortController();
    const events = fetchModel(MAIN, { settings, signal: stop.signal });
    await assert.rejects(async () => {
      for await (const event of events) {
        if (event.type === "download" && event.total === 3e5 && event.done > 0) stop.abort();
      }
    }, { name: "AbortError" });
    const blobs = join(cache, "models--org--tiny/blobs");
    const left = names(blobs).find((name) => name.endsWith(".incomplete"))!;
    const { size } = await Deno.stat(join(blobs, left));
    assert.ok(size > 0 && size < 3e5, `${size}`);
    hub.faults = {};
    await modelFolder("org/tiny", { settings });
    assert.ok(hub.log.some((line) => line.includes(`model.safetensors bytes=${size}- `)));
    assert.ok(names(blobs).every((name) => !name.endsWith(".incomplete")));
  });
});

Deno.test("leaving the events in the middle stops the download", async () => {
  await withHub(someFiles(), async ({ hub, settings }) => {
    hub.faults = { slow: 15 };
    for await (const event of fetchModel(MAIN, { settings })) {
      if (event.type === "download" && event.total === 3e5) break;
    }
    hub.faults = {};
    await modelFolder("org/tiny", { settings }); // no lock is left
  });
});
