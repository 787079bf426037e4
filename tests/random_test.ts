/** Random numbers: the published known answers of Philox 4x32-10, naming of streams, resuming, moments. */
import assert from "node:assert/strict";
import { philox, random } from "../lib/random.ts";

Deno.test("philox reproduces the published known answers", () => {
  const answer = (counter: number[], key: [number, number]) => {
    const block = Uint32Array.from(counter);
    philox(block, key);
    return Array.from(block, (w) => w.toString(16).padStart(8, "0")).join(" ");
  };
  const ones = 0xffffffff;
  assert.equal(answer([0, 0, 0, 0], [0, 0]), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  assert.equal(
    answer([ones, ones, ones, ones], [ones, ones]),
    "408f276d 41c83b0e a20bc7c6 6d5451fd",
  );
  assert.equal(
    answer([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    "d16cfe09 94fdcceb 5001e420 24126ea1",
  );
});

Deno.test("streams repeat under their name and differ under any other", () => {
  const first = (seed: number, ...name: (number | string)[]) => {
    const from = random(seed, ...name);
    return [from.uniform(), from.uniform(), from.uniform()].join();
  };
  assert.equal(first(7, "noise", 3), first(7, "noise", 3));
  const names = [
    first(7, "noise", 3),
    first(8, "noise", 3),
    first(-7, "noise", 3),
    first(7 + 2 ** 32, "noise", 3),
    first(7, "noise", "3"),
    first(7, "noise/3"),
    first(7, "noise"),
    first(7, "noise", 3, 0),
    first(7),
  ];
  assert.equal(new Set(names).size, names.length);
});

Deno.test("a named stream never changes its numbers: stored seeds depend on it", () => {
  const from = random(7, "noise", 3);
  assert.deepEqual(
    Array.from({ length: 5 }, () => from.uniform() * 2 ** 32),
    [930589288, 829928725, 3602966054, 4003651581, 1861293530],
  );
});

Deno.test("a stream resumes from its position", () => {
  const from = random(1, "resume"), drawn = Array.from({ length: 11 }, () => from.uniform());
  assert.equal(from.position, 11);
  const again = random(1, "resume");
  for (const at of [10, 3, 4, 0, 7]) {
    again.position = at;
    assert.equal(again.uniform(), drawn[at]);
    assert.equal(again.position, at + 1);
  }
  // Counters above 2^32 reach the second word.
  again.position = 4 * 2 ** 32;
  assert.notEqual(again.uniform(), drawn[0]);
});

Deno.test("uniform, normal and integer have their moments", () => {
  const from = random(2, "moments"), n = 40_000;
  let u1 = 0, u2 = 0, z1 = 0, z2 = 0, z4 = 0;
  const counts = new Float64Array(7);
  for (let i = 0; i < n; i++) {
    const u = from.uniform(), z = from.normal();
    assert.ok(u >= 0 && u < 1);
    u1 += u / n;
    u2 += u * u / n;
    z1 += z / n;
    z2 += z * z / n;
    z4 += z ** 4 / n;
    counts[from.integer(7)]++;
  }
  const close = (a: number, b: number, within: number) => assert.ok(Math.abs(a - b) < within);
  // Five standard errors of each mean.
  close(u1, 1 / 2, 5 * Math.sqrt(1 / 12 / n));
  close(u2, 1 / 3, 5 * Math.sqrt(4 / 45 / n));
  close(z1, 0, 5 / Math.sqrt(n));
  close(z2, 1, 5 * Math.sqrt(2 / n));
  close(z4, 3, 5 * Math.sqrt(96 / n));
  for (const count of counts) close(count / n, 1 / 7, 5 * Math.sqrt(6 / 49 / n));
});

Deno.test("shuffle permutes in place, plain and typed arrays alike, evenly", () => {
  const from = random(3, "shuffle");
  const typed = Int32Array.from({ length: 50 }, (_, i) => i);
  assert.equal(from.shuffle(typed), typed);
  assert.notDeepEqual(typed, typed.toSorted());
  assert.deepEqual(Array.from(typed.toSorted()), Array.from({ length: 50 }, (_, i) => i));
  assert.deepEqual(from.shuffle([]), []);
  const counts = new Map<string, number>(), n = 6000;
  for (let i = 0; i < n; i++) {
    const order = from.shuffle(["a", "b", "c"]).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const count of counts.values()) {
    assert.ok(Math.abs(count - n / 6) < 5 * Math.sqrt(n * 5 / 36));
  }
});

Deno.test("random refuses what it cannot use", () => {
  assert.throws(() => random(0.5), /seed 0\.5: wanted a whole number/);
  assert.throws(() => random(1, NaN), /NaN: wanted finite numbers/);
  assert.throws(() => random(1).integer(0), /below 0: wanted a whole number from 1/);
  assert.throws(() => random(1).choose([]), /below 0/);
  assert.throws(() => random(1).position = -1, /at -1: wanted a position/);
});
