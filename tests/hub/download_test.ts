/** One file from a hub that cuts, repeats, lies or is busy: what lands in the cache is whole and right, or nothing does. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { downloadFile, fileUrl } from "../../lib/hub/download.ts";
import type { RemoteFile } from "../../lib/hub/listing.ts";
import type { HubSettings } from "../../lib/hub/settings.ts";
import {
  COMMIT,
  hashOf,
  type MockHub,
  openMockHub,
  randomBytes,
  someFiles,
  withHub,
} from "./mock_hub.ts";

const NAME = "model.safetensors", FILES = someFiles();
const model = { id: "org/tiny", revision: "main" };

function remote(path: string): RemoteFile {
  const file = FILES[path];
  return {
    ...{ path, size: file.bytes.length, hash: hashOf(file) },
    algorithm: file.lfs ? "sha256" : "sha1",
  };
}

/** Downloads into `cache`; gives the blob, and the sum of what was told. */
async function download(
  { settings, cache }: { settings: HubSettings; cache: string },
  { path = NAME, size = FILES[path].bytes.length, signal }: {
    path?: string;
    size?: number;
    signal?: AbortSignal;
  } = {},
) {
  const asking = { model, settings, signal }, file = { ...remote(path), size };
  let told = 0;
  const blob = join(cache, "blob"), lock = join(cache, "lock");
  const to = { blob, lock, onBytes: (n: number) => told += n };
  const isNew = await downloadFile(fileUrl(asking, { commit: COMMIT, path }), { file, to, asking });
  return { bytes: await Deno.readFile(blob), told, isNew };
}

const rangesOf = (hub: MockHub) => hub.log.map((line) => line.split(" ")[2]);
const left = (cache: string) =>
  [...Deno.readDirSync(cache)].map(({ name }) => name).filter((name) => name !== "lock");

Deno.test("download: a large file by SHA-256, a small one by git's hash", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    for (const path of [NAME, "config.json"]) {
      const { bytes, told, isNew } = await download(world, { path });
      assert.deepEqual(bytes, FILES[path].bytes);
      assert.deepEqual([told, isNew], [bytes.length, true]);
      assert.deepEqual(left(world.cache), ["blob"]);
      await Deno.remove(join(world.cache, "blob"));
    }
    assert.equal(hub.log.length, 2);
  });
});

Deno.test("download: cut connections are taken up where they broke", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    hub.faults = { cut: { after: 60_000, times: 4 } };
    const { bytes, told } = await download(world); // more cuts than tries: each brought something
    assert.deepEqual(bytes, FILES[NAME].bytes);
    assert.equal(told, bytes.length);
    const from = rangesOf(hub).map((range) => Number(/\d+/.exec(range)?.[0] ?? 0));
    assert.equal(from.length, 5);
    assert.ok(from.every((n, i) => i === 0 || n > from[i - 1]), `${from}`);
  });
});

Deno.test("download: a connection that never brings a byte ends in one error", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    hub.faults = { cut: { after: 0, times: 99 } };
    const told = /Cannot download .*model\.safetensors: cut 3 times without a new byte/;
    await assert.rejects(download(world), told);
    assert.equal(hub.log.length, 3);
  });
});

Deno.test("download: a connection that stays silent counts as cut", async () => {
  await withHub(FILES, async ({ hub, cache, settings }) => {
    hub.faults = { slow: 400 };
    const hasty = { ...settings, patience: 60, tries: 2 };
    const told = /cut 2 times without a new byte \(no byte in 0\.06 s\)/;
    await assert.rejects(download({ cache, settings: hasty }), told);
  });
});

Deno.test("download: what an earlier run left is kept, and checked with the rest", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    const partial = join(world.cache, "blob.incomplete"), whole = FILES[NAME].bytes;
    await Deno.writeFile(partial, whole.subarray(0, 100_000));
    const { bytes, told } = await download(world);
    assert.deepEqual([bytes, told], [whole, whole.length]);
    assert.deepEqual(rangesOf(hub), ["bytes=100000-"]);
    await Deno.remove(join(world.cache, "blob"));

    await Deno.writeFile(partial, whole);
    assert.deepEqual((await download(world)).bytes, whole);
    assert.equal(hub.log.length, 1, "nothing was missing");
    await Deno.remove(join(world.cache, "blob"));

    await Deno.writeFile(partial, randomBytes(whole.length + 5));
    assert.equal((await download(world)).told, whole.length);
    await Deno.remove(join(world.cache, "blob"));

    await Deno.writeFile(partial, new Uint8Array(1000)); // not the beginning of this file
    const repaired = await download(world);
    assert.deepEqual([repaired.bytes, repaired.told], [whole, whole.length]);
    assert.deepEqual(rangesOf(hub).slice(-2), ["bytes=1000-", "null"]);
  });
});

Deno.test("download: a server without ranges sends the whole again", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    hub.faults = { cut: { after: 60_000, times: 1 }, noRanges: true };
    const { bytes, told } = await download(world);
    assert.deepEqual([bytes, told], [FILES[NAME].bytes, FILES[NAME].bytes.length]);
    assert.equal(hub.log.length, 2);
  });
});

Deno.test("download: wrong bytes are thrown away and told", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    hub.faults = { wrong: { times: 99 } };
    const told = /its sha256 is [0-9a-f]{64}, wanted [0-9a-f]{64}; what came was thrown away/;
    await assert.rejects(download(world), told);
    await assert.rejects(download(world, { path: "config.json" }), /its sha1 is [0-9a-f]{40}, wa/);
    assert.deepEqual(left(world.cache), []);
  });
});

Deno.test("download: a file that is longer than listed is refused", async () => {
  await withHub(FILES, async (world) => {
    await assert.rejects(download(world, { size: 5000 }), /it sent more than 5000 bytes/);
  });
});

Deno.test("download: two at once bring one file, the second waits for the first", async () => {
  await withHub(FILES, async ({ hub, ...world }) => {
    hub.faults = { slow: 2 };
    const both = await Promise.all([download(world), download(world)]);
    for (const { bytes } of both) assert.deepEqual(bytes, FILES[NAME].bytes);
    assert.deepEqual(both.map(({ isNew }) => isNew).sort(), [false, true]);
    assert.equal(hub.log.length, 1);
  });
});

Deno.test("download: the token follows no redirect to another host, a range does", async () => {
  await using elsewhere = openMockHub(FILES);
  await withHub(FILES, async ({ hub, settings, cache }) => {
    hub.faults = { elsewhere: elsewhere.endpoint };
    elsewhere.faults = { answer: { status: 403, times: 1 } }; // an address that has grown old
    await Deno.writeFile(join(cache, "blob.incomplete"), FILES[NAME].bytes.subarray(0, 1000));
    const secret = { ...settings, token: "hf_secret" };
    assert.deepEqual((await download({ settings: secret, cache })).bytes, FILES[NAME].bytes);
    assert.match(hub.log[0], / bytes=1000- Bearer hf_secret$/);
    assert.equal(elsewhere.log.length, 2);
    for (const line of elsewhere.log) assert.match(line, / bytes=1000- null$/);
  });
});

Deno.test("download: a disk that refuses is named with the file", async () => {
  await withHub(FILES, async ({ settings, cache }) => {
    const file = remote(NAME), asking = { model, settings };
    await Deno.mkdir(join(cache, "blob.incomplete"));
    const to = { blob: join(cache, "blob"), lock: join(cache, "lock") };
    const url = fileUrl(asking, { commit: COMMIT, path: NAME });
    await assert.rejects(
      downloadFile(url, { file, to, asking }),
      /Cannot write .*blob: EISDIR/,
    );
  });
});

Deno.test("download: an address holds names as they are", () => {
  const asking = { model, settings: { endpoint: "http://localhost" } as HubSettings };
  const url = fileUrl(asking, { commit: COMMIT, path: "a b#1.json" });
  assert.equal(url, `http://localhost/org/tiny/resolve/${COMMIT}/a%20b%231.json`);
});
