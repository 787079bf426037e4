/** Where rows stand: what is kept of a cache, what chains and trees write into a Program's inputs. */
import assert from "node:assert/strict";
import { referenceBackend } from "../../lib/backend/reference.ts";
import { HIDDEN } from "../../lib/graph/node.ts";
import { newBatchCache, newCache, Rows } from "../../lib/model/placement.ts";

const backend = referenceBackend(), SIZES = { kvHeads: 2, headSize: 3 };

Deno.test("accepted rows move together behind those in use", () => {
  using cache = newCache(backend, SIZES, { capacity: 10, layers: 2 });
  assert.deepEqual(Object.keys(cache.tensors).sort(), [
    "keys.0",
    "keys.1",
    "values.0",
    "values.1",
  ]);
  // Element: tensor, head, row, column as decimal digits.
  const fill = () =>
    Object.values(cache.tensors).forEach((tensor, n) =>
      tensor.host!.forEach((_, i) =>
        tensor.host![i] = 1000 * n + 100 * Math.floor(i / 30) + 10 * (Math.floor(i / 3) % 10) +
          i % 3
      )
    );
  for (
    const [offsets, rows] of [
      [[0, 2, 5], [0, 1, 2, 3, 4, 6, 9]],
      [[0, 1, 2], [0, 1, 2, 3, 4, 5, 6]],
      [[3], [0, 1, 2, 3, 7]],
      [[], [0, 1, 2, 3]],
    ]
  ) {
    fill();
    cache.length = 4;
    cache.keep(offsets);
    assert.equal(cache.length, rows.length);
    Object.values(cache.tensors).forEach((tensor, n) => {
      for (let head = 0; head < 2; head++) {
        const found = tensor.host!.slice(head * 30, head * 30 + rows.length * 3);
        const wanted = rows.flatMap((row) =>
          [0, 1, 2].map((i) => 1000 * n + 100 * head + 10 * row + i)
        );
        assert.deepEqual(
          Array.from(found),
          wanted,
          `offsets ${offsets}, tensor ${n}, head ${head}`,
        );
      }
    });
  }
});

Deno.test("slots of a batch are parts of the batch's own memory", () => {
  const { tensors, slots } = newBatchCache(backend, SIZES, { capacity: 4, layers: 1, batch: 3 });
  assert.deepEqual(tensors["keys.0"].shape, [3, 2, 4, 3]);
  slots.forEach((slot, b) => slot.tensors["values.0"].host!.fill(b + 1));
  const all = tensors["values.0"].host!;
  assert.deepEqual([all[0], all[23], all[24], all[48], all[71]], [1, 1, 2, 3, 3]);
});

Deno.test("a chain sees everything before it, padding included in its own rows only", () => {
  using rows = new Rows(backend, 4, 8);
  rows.placeChain([7, 8, 9], 3);
  assert.deepEqual(Array.from(rows.ids.host!), [7, 8, 9, 0]);
  assert.deepEqual(Array.from(rows.positions.host!), [3, 4, 5, 6]);
  assert.deepEqual(Array.from(rows.length.host!), [3]);
  assert.ok(rows.bias.host!.every((x) => x === 0));
});

Deno.test("a tree's rows see the prefix and what they may see of the tree", () => {
  using rows = new Rows(backend, 4, 8);
  // Nodes 1 and 2 are children of 0; row 3 is padding and sees itself, so that its scores are not all hidden.
  const sees = (row: number, column: number) => column === row || column === 0;
  rows.placeTree([5, 6, 7], { prefix: 2, base: 2, depths: [0, 1, 1], sees });
  assert.deepEqual(Array.from(rows.positions.host!), [2, 3, 3, 2]);
  const open = (r: number) =>
    Array.from(rows.bias.host!.subarray(r * 8, r * 8 + 6), (x) => x === 0 ? 1 : 0);
  assert.deepEqual([0, 1, 2, 3].map(open), [
    [1, 1, 1, 0, 0, 0],
    [1, 1, 1, 1, 0, 0],
    [1, 1, 1, 0, 1, 0],
    [1, 1, 0, 0, 0, 1],
  ]);
  assert.ok(rows.bias.host!.every((x) => x === 0 || x === Math.fround(HIDDEN)));
  rows.placeChain([1], 5);
  assert.ok(rows.bias.host!.every((x) => x === 0), "a tree's bias outlives the tree");
});

Deno.test("a later level of a tree sees the rows of the levels before", () => {
  using rows = new Rows(backend, 2, 10);
  // Two rows of level 1 stand at 3 and 4; each row of level 2 descends from the other.
  const sees = (row: number, column: number) => column < 2 ? column !== row : column === 2 + row;
  rows.placeTree([5, 6], { prefix: 3, base: 5, depths: [1, 1], sees });
  assert.deepEqual(Array.from(rows.positions.host!), [4, 4]);
  assert.equal(rows.length.host![0], 5);
  const open = (r: number) =>
    Array.from(rows.bias.host!.subarray(r * 10, r * 10 + 7), (x) => x === 0 ? 1 : 0);
  assert.deepEqual([0, 1].map(open), [[1, 1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 0, 0, 1]]);
});
