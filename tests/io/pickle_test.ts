/** The pickle machine by hand-made streams: what it builds, and where it stops. */
import assert from "node:assert/strict";
import { unpickle } from "../../lib/io/pickle.ts";

const bytes = (...parts: (number | string)[]) =>
  Uint8Array.from(
    parts.flatMap((p) => typeof p === "number" ? [p] : [...new TextEncoder().encode(p)]),
  );
const none = { allowed: {}, persistent: () => undefined };

Deno.test("numbers, texts, tuples, dictionaries and recalled values are built", () => {
  // {"a": (1, -1, 2.5)}, memoised and recalled
  const found = unpickle(
    bytes(
      ...[0x80, 2, 0x7d, 0x71, 0, 0x8c, 1, "a", 0x4b, 1, 0x4a, 0xff, 0xff, 0xff, 0xff],
      ...[0x47, 0x40, 4, 0, 0, 0, 0, 0, 0, 0x87, 0x73, 0x68, 0, 0x86, 0x2e],
    ),
    none,
  );
  const map = new Map([["a", [1, -1, 2.5]]]);
  assert.deepEqual(found, [map, map]);
  assert.equal(unpickle(bytes(0x8a, 2, 0xff, 0xff, 0x2e), none), -1);
  assert.equal(unpickle(bytes(0x8a, 3, 0xff, 0xff, 0, 0x2e), none), 65535);
});

Deno.test("only allowed names are called; inherited ones are none", () => {
  const call = bytes(0x63, "m\nf\n", 0x4b, 4, 0x85, 0x52, 0x2e);
  const allowed = { "m f": (x: unknown) => Number(x) * 2 };
  assert.equal(unpickle(call, { ...none, allowed }), 8);
  assert.throws(() => unpickle(call, none), /asks for m\.f, which is not allowed/);
  assert.throws(
    () => unpickle(bytes(0x63, "\nconstructor\n", 0x2e), none),
    /asks for \.constructor/,
  );
  assert.throws(() => unpickle(bytes(0x4b, 1, 0x29, 0x52, 0x2e), none), /calls a value that is no/);
});

Deno.test("streams that end early, recall nothing or use other opcodes are refused", () => {
  assert.throws(() => unpickle(bytes(0x58, 9, 0, 0, 0, "ab"), none), /ends within/);
  assert.throws(() => unpickle(bytes(0x68, 7, 0x2e), none), /recalls value 7/);
  assert.throws(() => unpickle(bytes(0x2e), none), /stack is empty/);
  assert.throws(() => unpickle(bytes(0x74, 0x2e), none), /mark is missing/);
  assert.throws(() => unpickle(bytes(0x69, 0x2e), none), /opcode 0x69, which is not allowed/);
});
