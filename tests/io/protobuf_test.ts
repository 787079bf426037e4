/** The wire format against bytes worked out by hand: keys, varints, fixed numbers, nesting, order. */
import assert from "node:assert/strict";
import { Message } from "../../lib/io/protobuf.ts";

const hex = (m: Message) => [...m.finish()].map((b) => b.toString(16).padStart(2, "0")).join(" ");

Deno.test("varints: seven bits a byte, lowest first; negative ones in ten bytes", () => {
  assert.equal(hex(new Message().int(1, 0)), "08 00");
  assert.equal(hex(new Message().int(1, 127)), "08 7f");
  assert.equal(hex(new Message().int(1, 128)), "08 80 01");
  assert.equal(hex(new Message().int(16, 300)), "80 01 ac 02");
  assert.equal(hex(new Message().int(2, -1)), "10 ff ff ff ff ff ff ff ff ff 01");
  assert.equal(hex(new Message().int(2, 2n ** 62n)), "10 80 80 80 80 80 80 80 80 40");
});

Deno.test("float and double: little-endian bytes of their own wire types", () => {
  assert.equal(hex(new Message().float(2, 1.5)), "15 00 00 c0 3f");
  assert.equal(hex(new Message().double(1, -2)), "09 00 00 00 00 00 00 00 c0");
});

Deno.test("strings, bytes and messages: a length, then the content; fields stay in order", () => {
  assert.equal(hex(new Message().string(1, "\u00e9a")), "0a 03 c3 a9 61");
  assert.equal(hex(new Message().bytes(3, Uint8Array.of(0, 255))), "1a 02 00 ff");
  const inner = new Message().int(2, 1).int(1, 2);
  assert.equal(hex(new Message().message(4, inner).int(1, 5)), "22 04 10 01 08 02 08 05");
  assert.equal(hex(new Message().message(1, new Message())), "0a 00");
});

Deno.test("a message of very many chunks fits into another", () => {
  const inner = new Message();
  for (let i = 0; i < 200_000; i++) inner.int(1, 1);
  assert.equal(new Message().message(1, inner).finish().length, 400_000 + 4);
});
