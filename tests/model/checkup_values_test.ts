/** Tests lib/model/checkup_values.ts: damage, copies, tables, one tensor at a time. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/io/checkpoint.ts";
import { fromBrain, fromHalf, toBrain, toHalf } from "../../lib/io/float16.ts";
import { examine, openChecked } from "../../lib/model/checkup.ts";
import { type Changes, checkupOf, FOREIGN, toldOf } from "./foreign_drafts.ts";
import { checkValues, sameValues } from "../../lib/model/checkup_values.ts";

const values = (name: string, changes: Changes) => toldOf(name, changes, { values: true });
const read = (name: string, tensor: string) => {
  using file = openCheckpoint(join(FOREIGN, name));
  return { shape: file.info(tensor).shape, data: file.readFloat32(tensor) };
};

Deno.test("sound drafts are sound", async () => {
  for (
    const name of ["eagle", "hass", "fspad", "griffin", "eagle3", "specforge", "speculators-eagle"]
  ) {
    const { findings } = await checkupOf(join(FOREIGN, name), { values: true });
    assert.deepEqual(findings.filter((f) => f.level !== "note"), [], name);
  }
});

Deno.test("NaN, zeros, norms of 1 and copies are told with their names", async () => {
  const up = read("hass", "layers.0.mlp.up_proj.weight"),
    o = read("hass", "layers.0.self_attn.o_proj.weight");
  o.data[5] = NaN;
  assert.deepEqual(
    await values("hass", {
      tensors: {
        "layers.0.mlp.gate_proj.weight": up,
        "layers.0.self_attn.o_proj.weight": o,
        "layers.0.self_attn.v_proj.weight": { shape: [16, 24], data: new Float32Array(16 * 24) },
        "layers.0.post_attention_layernorm.weight": {
          shape: [24],
          data: new Float32Array(24).fill(1),
        },
      },
    }),
    [
      "doubt layers.0.self_attn.v_proj.weight all values are 0",
      "fault layers.0.self_attn.o_proj.weight 1 of 768 values are NaN or infinite",
      "doubt layers.0.post_attention_layernorm.weight all values are exactly 1, as a norm begins",
      "doubt layers.0.mlp.up_proj.weight has the same values as layers.0.mlp.gate_proj.weight",
    ].toSorted((a, b) => order(a) - order(b)),
  );
});

/** Findings come in the order of the file's tensors. */
function order(line: string): number {
  using file = openCheckpoint(join(FOREIGN, "hass"));
  return file.names.indexOf(line.split(" ")[1]);
}

Deno.test("events tell how far the work is, a tensor each", async () => {
  const opened = await openChecked(join(FOREIGN, "hass"));
  using source = opened.source;
  const events = [...checkValues(source, examine(opened))];
  assert.deepEqual(events.map(({ done, total }) => `${done}/${total}`).slice(-2), [
    "10/11",
    "11/11",
  ]);
  assert.deepEqual(events.map(({ name }) => name), source.names);
});

Deno.test("tables that are not rising, out of range, or contradict each other", async () => {
  const d2t = (change: (data: Int32Array) => void) => {
    using file = openCheckpoint(join(FOREIGN, "eagle3"));
    const data = file.readInt("d2t");
    change(data);
    return values("eagle3", { tensors: { d2t: { shape: [18], data } } });
  };
  assert.match(
    (await d2t((t) => t[1] = -1)).join(),
    /^fault Cannot use .*: d2t has target token 0 at 1 after/,
  );
  assert.match(
    (await d2t((t) => t[17] = 40)).join(),
    /target token 57 at 17 after \d+, wanted rising ones below 40/,
  );
  using file = openCheckpoint(join(FOREIGN, "eagle3"));
  const t2d = file.readInt("t2d"), first = t2d.indexOf(1);
  t2d[first] = 0;
  assert.deepEqual(await values("eagle3", { tensors: { t2d: { shape: [40], data: t2d } } }), [
    `fault t2d says no to token ${first}, which d2t names`,
  ]);
});

Deno.test("copies are known after rounding to 16 bits, neighbours are not copies", () => {
  const { data } = read("hass", "layers.0.mlp.up_proj.weight");
  assert.ok(sameValues(fromHalf(toHalf(data)), data));
  assert.ok(sameValues(fromBrain(toBrain(data)), data));
  assert.ok(sameValues(fromHalf(toHalf(data)), fromBrain(toBrain(data))));
  const near = data.slice();
  near[7] *= 1.01;
  assert.ok(!sameValues(near, data));
  assert.ok(!sameValues(data.subarray(1), data));
});
