/** Memory given for values is used when it fits, and refused with both sizes when it does not. */
import assert from "node:assert/strict";
import { moveInto, roomFor } from "../../lib/io/room.ts";

Deno.test("given memory is used, new memory made where none is given", () => {
  const into = new Float32Array(3), values = Float32Array.of(1, 2, 3);
  assert.equal(roomFor("w", { size: 3, into, path: "file" }), into);
  assert.equal(roomFor("w", { size: 3, path: "file" }).length, 3);
  assert.equal(moveInto(values, { name: "w", into, path: "file" }), into);
  assert.deepEqual(into, values);
  assert.equal(moveInto(values, { name: "w", path: "file" }), values);
});

Deno.test("memory of another size is refused", () => {
  assert.throws(
    () => moveInto(new Float32Array(2), { name: "w", into: new Float32Array(3), path: "file" }),
    /Cannot read w of file: room for 3 values, wanted 2/,
  );
});
