/** WGSL text: literals, index arithmetic, bindings, and that equal texts are computed once. */
import assert from "node:assert/strict";
import {
  Bindings,
  bytesOf,
  functionOf,
  literal,
  loadAll,
  type Slot,
  Writer,
} from "../../../lib/backend/webgpu/writer.ts";

const slot = (shape: number[], dtype: Slot["dtype"] = "f32"): Slot => ({
  shape,
  dtype,
  label: "s",
});

Deno.test("literals keep their type and sign; what WGSL cannot write is refused", () => {
  assert.equal(literal(1, "f32"), "1f");
  assert.equal(literal(-0.5, "f32"), "(-0.5f)");
  assert.equal(literal(-3e38, "f32"), `(${Math.fround(-3e38)}f)`);
  assert.equal(literal(-7, "i32"), "i32(-7)");
  assert.equal(literal(0, "bool"), "false");
  assert.throws(() => literal(Infinity, "f32"), /Cannot write Infinity in WGSL/);
  assert.throws(() => literal(1e39, "f32"), /Cannot write 1e\+39/);
});

Deno.test("positions: zeros and ones leave no arithmetic, equal texts one name", () => {
  const w = new Writer(new Bindings());
  assert.equal(w.flat(["0u", "i"], [4, 8]), "i");
  assert.deepEqual(w.split("p", [1, 1, 6]), ["0u", "0u", "p"]);
  const [row, column] = w.split("p", [5, 6]);
  assert.deepEqual(w.lines, ["let t0 = p % 6u;", "let t1 = p / 6u;"]);
  assert.deepEqual([row, column], ["t1", "t0"]);
  w.split("p", [5, 6]);
  assert.equal(w.lines.length, 2);
});

Deno.test("a slot is bound once, written if any use writes; four u8 share a word", () => {
  const bindings = new Bindings(), a = slot([8]), b = slot([5], "u8");
  assert.equal(bindings.name(a), "b0");
  const text = functionOf("x_at", loadAll(b), { parameters: ["i"], bindings, index: () => "i" });
  assert.match(text, /fn x_at\(i: u32\) -> u32 \{/);
  assert.match(text, /b1\[i >> 2u\]/);
  bindings.name(a, { writes: true });
  assert.match(bindings.text, /binding\(0\) var<storage, read_write> b0: array<f32>/);
  assert.match(bindings.text, /binding\(1\) var<storage, read> b1: array<u32>/);
  assert.equal(bytesOf(b), 8);
  assert.equal(bytesOf(slot([5], "bool")), 20);
});
