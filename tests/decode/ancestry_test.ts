/** What parents imply, on a tree small enough to draw. */
import assert from "node:assert/strict";
import { ancestorMask, childrenOf, depthsOf, pathsOf } from "../../lib/decode/ancestry.ts";

//        0
//      / | \
//     1  2  3
//     |     | \
//     4     5  6
//     |
//     7
const PARENTS = Int32Array.of(-1, 0, 0, 0, 1, 3, 3, 4);

Deno.test("depths, children and paths of a drawn tree", () => {
  assert.deepEqual(Array.from(depthsOf(PARENTS)), [0, 1, 1, 1, 2, 2, 2, 3]);
  assert.deepEqual(childrenOf(PARENTS), [[1, 2, 3], [4], [], [5, 6], [7], [], [], []]);
  assert.deepEqual(pathsOf(PARENTS).map((path) => Array.from(path)), [
    [0, 2, -1, -1],
    [0, 3, 5, -1],
    [0, 3, 6, -1],
    [0, 1, 4, 7],
  ]);
});

Deno.test("the ancestor mask of a drawn tree", () => {
  const mask = ancestorMask(PARENTS);
  const rows = Array.from(PARENTS, (_, i) => mask.subarray(i * 8, i * 8 + 8).join(""));
  assert.deepEqual(rows, [
    "10000000",
    "11000000",
    "10100000",
    "10010000",
    "11001000",
    "10010100",
    "10010010",
    "11001001",
  ]);
});

Deno.test("a root alone is a tree", () => {
  const root = Int32Array.of(-1);
  assert.deepEqual(Array.from(depthsOf(root)), [0]);
  assert.deepEqual(Array.from(ancestorMask(root)), [1]);
  assert.deepEqual(childrenOf(root), [[]]);
  assert.deepEqual(pathsOf(root).map((path) => Array.from(path)), [[0]]);
});
