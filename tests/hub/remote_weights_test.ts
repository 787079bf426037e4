/** What a download would bring: files, sizes, values by type, from headers alone. */
import assert from "node:assert/strict";
import { remoteModel } from "../../lib/hub/model.ts";
import { countRemoteValues } from "../../lib/hub/remote_weights.ts";
import { countTarget } from "../../lib/bench/plan.ts";
import { TINY } from "../model/tiny.ts";
import { COMMIT, hashOf, type MockFile, text, withHub } from "./mock_hub.ts";
import { tinyModel } from "./tiny_model.ts";

const MAIN = { id: "org/tiny", revision: "main" };

Deno.test("remote: files with sizes, values by type, and of the weights only their headers", async () => {
  const files = await tinyModel();
  for (const noRanges of [false, true]) {
    await withHub(files, async ({ hub, settings }) => {
      hub.faults = { noRanges };
      const remote = await remoteModel(MAIN, { settings });
      assert.equal(remote.commit, COMMIT);
      assert.deepEqual(
        remote.files.map(({ path, size }) => [path, size]),
        Object.entries(files).map(([path, { bytes }]) => [path, bytes.length]),
      );
      assert.deepEqual(remote.values, { F32: countTarget(TINY) });
      const asked = hub.log.filter((line) => line.includes("safetensors bytes="));
      assert.equal(asked.length, 4);
      const most = Math.max(...asked.map((line) => Number(/-(\d+) /.exec(line)![1])));
      assert.ok(most < 3000, `${most} bytes`);
    });
  }
});

Deno.test("remote: damaged headers are named", async () => {
  const header = (length: bigint, content: string): MockFile => {
    const bytes = new Uint8Array(8 + content.length);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    bytes.set(text(content), 8);
    return { bytes, lfs: true };
  };
  const damaged: [file: MockFile, error: RegExp][] = [
    [header(2n ** 40n, "{}"), /header of .*w: it would have 1099511627776 bytes of 10/],
    [header(2n, "[["), /header of .*w: wanted JSON of tensors/],
    [header(9n, '{"a":[1]}'), /header of .*w: wanted JSON of tensors/],
    [{ bytes: new Uint8Array(3), lfs: true }, /header of .*w: it ended after 3 bytes, wanted 8/],
  ];
  for (const [file, error] of damaged) {
    await withHub({ w: file }, async ({ settings }) => {
      const remote = { path: "w", size: file.bytes.length, hash: hashOf(file) };
      const asking = { model: MAIN, settings },
        files = [{ ...remote, algorithm: "sha256" as const }];
      await assert.rejects(countRemoteValues(files, { asking, commit: COMMIT }), error);
    });
  }
});
