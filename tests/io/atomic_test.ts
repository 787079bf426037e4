/** Tests lib/io/atomic.ts: whole or not at all, nothing left behind. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { removeFolderAtomic, writeFileAtomic, writeFolderAtomic } from "../../lib/io/atomic.ts";

async function temporary(): Promise<string> {
  return await Deno.makeTempDir();
}

Deno.test("a file is written from text, bytes and chunks, in new folders", async () => {
  const folder = await temporary();
  await writeFileAtomic(join(folder, "a/b.txt"), "hello");
  equal(await readFile(join(folder, "a/b.txt"), "utf8"), "hello");
  await writeFileAtomic(join(folder, "c"), [Uint8Array.of(1, 2), Uint8Array.of(3)]);
  deepEqual([...await readFile(join(folder, "c"))], [1, 2, 3]);
});

Deno.test("a failed write keeps the old file and leaves no temporary", async () => {
  const folder = await temporary(), path = join(folder, "x");
  await writeFileAtomic(path, "old");
  const failing = (function* () {
    yield Uint8Array.of(1);
    throw new Error("disk full");
  })();
  await rejects(writeFileAtomic(path, failing), /Cannot write .*x: disk full/);
  equal(await readFile(path, "utf8"), "old");
  deepEqual(await readdir(folder), ["x"]);
});

Deno.test("a folder replaces the old one as a whole", async () => {
  const folder = await temporary(), path = join(folder, "d");
  await writeFolderAtomic(path, (t) => writeFile(join(t, "one"), "1"));
  await writeFolderAtomic(path, (t) => writeFile(join(t, "two"), "2"));
  deepEqual(await readdir(path), ["two"]);
  deepEqual(await readdir(folder), ["d"]);
});

Deno.test("a failed folder leaves the old one; a dead run's leftovers do not disturb", async () => {
  const folder = await temporary(), path = join(folder, "d");
  await writeFolderAtomic(path, (t) => writeFile(join(t, "one"), "1"));
  await mkdir(`${path}.partial`);
  await writeFile(join(`${path}.partial`, "stale"), "");
  await rejects(
    writeFolderAtomic(path, () => Promise.reject(new Error("no"))),
    /Cannot write .*d: no/,
  );
  deepEqual(await readdir(folder), ["d"]);
  deepEqual(await readdir(path), ["one"]);
});

Deno.test("a slash at the end names the same folder", async () => {
  const folder = await temporary(), path = join(folder, "d");
  await writeFolderAtomic(`${path}/`, (t) => writeFile(join(t, "one"), "1"));
  await writeFolderAtomic(`${path}/`, (t) => writeFile(join(t, "two"), "2"));
  deepEqual([await readdir(folder), await readdir(path)], [["d"], ["two"]]);
});

Deno.test("folders within the folder arrive too", async () => {
  const folder = await temporary(), path = join(folder, "d");
  await writeFolderAtomic(path, (t) => writeFileAtomic(join(t, "in/ner"), "1"));
  equal(await readFile(join(path, "in/ner"), "utf8"), "1");
});

Deno.test("a file cannot take the place of a folder, nor lie in a file", async () => {
  const folder = await temporary();
  await writeFileAtomic(join(folder, "file"), "1");
  await mkdir(join(folder, "taken"));
  await rejects(writeFileAtomic(join(folder, "taken"), "2"), /Cannot write .*taken: /);
  await rejects(writeFileAtomic(join(folder, "file/in"), "2"), /Cannot write .*file.in: /);
  await rejects(
    writeFolderAtomic(join(folder, "file/in"), () => Promise.resolve()),
    /Cannot write .*file.in: /,
  );
  deepEqual((await readdir(folder)).sort(), ["file", "taken"]);
});

Deno.test("a folder is removed as a whole, with what a dead run left of it; a missing one is no error", async () => {
  const folder = await temporary(), path = join(folder, "d");
  await mkdir(`${path}.old.partial`);
  await writeFile(join(`${path}.old.partial`, "stale"), "");
  await writeFolderAtomic(path, (t) => writeFile(join(t, "one"), "1"));
  await removeFolderAtomic(`${path}/`);
  await removeFolderAtomic(path);
  deepEqual(await readdir(folder), []);
  await writeFile(join(folder, "file"), "1");
  await rejects(removeFolderAtomic(join(folder, "file/in")), /Cannot remove .*file.in: /);
});
