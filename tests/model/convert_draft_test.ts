/** Tests lib/model/convert_draft.ts: what is refused and why. That logits stay: `tests/golden/foreign_drafts_golden_test.ts`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { examine, openChecked } from "../../lib/model/checkup.ts";
import { convertDraft, obstacles } from "../../lib/model/convert_draft.ts";
import { readDraft } from "../../lib/model/load.ts";
import { type Changes, FOREIGN, inTemporary, writeChanged } from "./foreign_drafts.ts";

/** Converts a changed golden into `folder/out`. */
async function convert(
  folder: string,
  { name, changes = {}, layers, target }: {
    name: string;
    changes?: Changes;
    layers?: number;
    target?: string;
  },
): Promise<string> {
  const from = join(folder, "from"), out = join(folder, "out");
  await Deno.mkdir(from, { recursive: true });
  await writeChanged(from, name, changes);
  const opened = await openChecked(from);
  using source = opened.source;
  const checkup = examine(opened, { layers });
  await convertDraft(out, { source, checkup, findings: checkup.findings, target });
  return out;
}

Deno.test("all reasons are named, and nothing is written", async () => {
  await inTemporary(async (folder) => {
    const changes = { config: { norm_output: true }, without: ["norm.weight"] };
    await assert.rejects(
      convert(folder, { name: "eagle3", changes }),
      /norm_output is true: .*; norm\.weight is missing, wanted \[24\]; config\.json does not say which layers.*wanted --target/,
    );
    await assert.rejects(Deno.stat(join(folder, "out")), Deno.errors.NotFound);
  });
});

Deno.test("what is no draft is told", async () => {
  const opened = await openChecked(join(FOREIGN, "../families/llama-2"));
  using source = opened.source;
  const checkup = examine(opened);
  assert.deepEqual(obstacles(checkup, []), [
    "it is a target, not a draft, wanted a draft, or a target in a GGUF file",
  ]);
  await assert.rejects(
    convertDraft(join(FOREIGN, "new"), { source, checkup, findings: [] }),
    /Cannot convert .*: it is a target/,
  );
});

Deno.test("a folder that is there is not written over", async () => {
  await inTemporary(async (folder) => {
    await Deno.mkdir(join(folder, "out"));
    await assert.rejects(convert(folder, { name: "hass" }), /it is there, wanted a new folder/);
  });
});

Deno.test("with a target at hand the draft is tied to it; without one it fits any of its sizes", async () => {
  for (const target of ["abc", undefined]) {
    await inTemporary(async (folder) => {
      const { config } = await readDraft(
        await convert(folder, { name: "eagle3", layers: 8, target }),
      );
      assert.equal(config.target, target);
      assert.deepEqual(config.taps, [2, 4, 5]);
    });
  }
});

Deno.test("a draft of ours comes back as it was", async () => {
  await inTemporary(async (folder) => {
    const first = await convert(folder, { name: "speculators-normed" });
    const opened = await openChecked(first);
    using source = opened.source;
    const checkup = examine(opened), again = join(folder, "again");
    assert.equal(checkup.format, "own");
    await convertDraft(again, { source, checkup, findings: checkup.findings });
    assert.deepEqual(await readDraft(again), await readDraft(first));
  });
});

Deno.test("a foreign draft that is loaded as it is points to the doctor", async () => {
  await assert.rejects(
    readDraft(join(FOREIGN, "hass")),
    /it has no tensor fc\.fc\.weight; deno task doctor .*hass tells what it is/,
  );
});
