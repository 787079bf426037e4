/** The cache's layout: as Python's huggingface_hub writes and reads it, with and without links. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  cachedCommit,
  isInSnapshot,
  lackOf,
  modelCache,
  noteCommit,
  placeBlob,
} from "../../lib/hub/cache.ts";
import { modelFolder } from "../../lib/hub/model.ts";
import { COMMIT, gitHash, hashOf, OLD_COMMIT, someFiles, text, withHub } from "./mock_hub.ts";

async function inCache(use: (cache: ReturnType<typeof modelCache>, root: string) => Promise<void>) {
  const root = await Deno.makeTempDir();
  try {
    await use(modelCache(root, { id: "org/tiny" }), root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** A file as it is listed, its blob in the cache. */
async function blobOf(cache: ReturnType<typeof modelCache>, path: string, content: string) {
  const bytes = text(content), hash = gitHash(bytes);
  await Deno.mkdir(join(cache.folder, "blobs"), { recursive: true });
  await Deno.writeFile(cache.blob({ hash }), bytes);
  return { path, size: bytes.length, hash, algorithm: "sha1" as const };
}

Deno.test("cache: a model as Python leaves it is found without a request for its files", async () => {
  const files = someFiles();
  await withHub(files, async ({ hub, settings, cache: root }) => {
    // As snapshot_download of huggingface_hub 2.4.0 lays it out.
    const folder = join(root, "models--org--tiny"), snapshot = join(folder, "snapshots", COMMIT);
    for (const part of ["blobs", "refs", `snapshots/${COMMIT}`]) {
      await Deno.mkdir(join(folder, part), { recursive: true });
    }
    for (const path of ["config.json", "tokenizer.json", "model.safetensors"]) {
      const hash = hashOf(files[path]);
      await Deno.writeFile(join(folder, "blobs", hash), files[path].bytes);
      await Deno.symlink(`../../blobs/${hash}`, join(snapshot, path));
    }
    await Deno.writeTextFile(join(folder, "refs/main"), COMMIT);
    assert.equal(
      await modelFolder("org/tiny", { settings: { ...settings, offline: true } }),
      snapshot,
    );
    assert.equal(await modelFolder("org/tiny", { settings }), snapshot);
    assert.ok(hub.log.every((line) => !line.includes("resolve")), hub.log.join("\n"));
  });
});

Deno.test("cache: links are relative and lead to blobs; refs name commits", async () => {
  await inCache(async (cache) => {
    const file = await blobOf(cache, "config.json", "{}"), snapshot = cache.snapshot(COMMIT);
    assert.ok(!isInSnapshot(snapshot, file));
    await placeBlob(cache, { commit: COMMIT, file, isNew: true });
    assert.ok(isInSnapshot(snapshot, file));
    const target = await Deno.readLink(join(snapshot, "config.json"));
    assert.equal(target, join("..", "..", "blobs", file.hash));
    assert.equal(cachedCommit(cache, "main"), undefined);
    for (const revision of ["main", "refs/pr/1"]) {
      await noteCommit(cache, { revision, commit: COMMIT });
      assert.equal(await Deno.readTextFile(join(cache.folder, "refs", revision)), COMMIT);
      assert.equal(cachedCommit(cache, revision), COMMIT);
    }
    await noteCommit(cache, { revision: "main", commit: OLD_COMMIT });
    assert.equal(cachedCommit(cache, "main"), OLD_COMMIT);
    assert.equal(cachedCommit(cache, COMMIT), COMMIT);
  });
});

Deno.test("cache: without links a second name, else a new blob is moved and an old one copied", async () => {
  const no = () => Promise.reject(new Error("not permitted"));
  await inCache(async (cache) => {
    const file = await blobOf(cache, "config.json", "{}"), blob = cache.blob(file);
    const place = (commit: string) => join(cache.snapshot(commit), "config.json");
    const put = (commit: string, isNew: boolean, link: typeof Deno.link) =>
      placeBlob(cache, { commit, file, isNew, links: { symlink: no, link: link as never } });
    await put(COMMIT, true, Deno.link);
    assert.equal((await Deno.stat(place(COMMIT))).ino, (await Deno.stat(blob)).ino);
    await put(OLD_COMMIT, false, no);
    assert.ok((await Deno.lstat(place(OLD_COMMIT))).isFile);
    assert.equal(await Deno.readTextFile(blob), "{}");
    await put(COMMIT, true, no);
    assert.equal(await Deno.readTextFile(place(COMMIT)), "{}");
    await assert.rejects(Deno.stat(blob), Deno.errors.NotFound);
    const left = [...Deno.readDirSync(cache.snapshot(COMMIT))].map(({ name }) => name);
    assert.deepEqual(left, ["config.json"]);
  });
});

Deno.test("cache: what a snapshot lacks, by its own index", async () => {
  await inCache(async (_, root) => {
    const write = (name: string, value: unknown) =>
      Deno.writeTextFile(join(root, name), JSON.stringify(value));
    assert.equal(lackOf(root, { weights: false }), "config.json");
    await write("config.json", {});
    assert.equal(lackOf(root, { weights: false }), undefined);
    assert.equal(lackOf(root, { weights: true }), "model.safetensors");
    await write("pytorch_model.bin", {});
    assert.equal(lackOf(root, { weights: true }), undefined);
    await write("model.safetensors.index.json", { weight_map: { a: "1", b: "2" } });
    await write("1", {});
    assert.equal(lackOf(root, { weights: true }), "2");
    await write("2", {});
    assert.equal(lackOf(root, { weights: true }), undefined);
  });
});
