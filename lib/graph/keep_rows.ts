/** The composite `keepRows`: compaction of a cache after a tree was verified, and what it means in primitives. */
import { makeNode, type Node, sameShape, showShape } from "./node.ts";
import {
  add,
  broadcast,
  compare,
  constant,
  gather,
  max,
  min,
  reshape,
  sub,
  takeAlong,
  where,
} from "./ops.ts";

/**
 * A cache [.., C, K] in which row `from` + i is what row `from` + `offsets[i]` was: accepted nodes of a tree moved
 * together. `from` is i32 [1]; `offsets` i32 [n], none smaller than its place, so that rows can move where they lie.
 * @throws when the cache has no rows, or an index has another shape or type.
 */
export function keepRows(cache: Node, { from, offsets }: { from: Node; offsets: Node }): Node {
  const fits = cache.shape.length >= 2 && sameShape(from.shape, [1]) && offsets.shape.length === 1;
  if (!fits || from.dtype !== "i32" || offsets.dtype !== "i32") {
    throw new Error(
      `Cannot keep rows of ${showShape(cache.shape)} from ${from.dtype} ${showShape(from.shape)} ` +
        `at ${offsets.dtype} ${showShape(offsets.shape)}: wanted i32 [1] and i32 [n]`,
    );
  }
  const { shape, dtype } = cache;
  return makeNode("keepRows", [cache, from, offsets], {}, { shape, dtype });
}

/** Its definition: every row of the cache is looked up again. */
export function expandKeepRows([cache, from, offsets]: readonly Node[]): Node[] {
  const { shape } = cache, [capacity] = shape.slice(-2), [n] = offsets.shape;
  const row = constant(Int32Array.from({ length: capacity }, (_, c) => c), [capacity]);
  const place = sub(row, from), moved = gather(offsets, min(max(place, 0), n - 1));
  const behind = where(
    compare("lt", place, n),
    min(add(from, moved), capacity - 1),
    row,
  );
  const source = where(compare("ge", place, 0), behind, row);
  return [takeAlong(cache, broadcast(reshape(source, [capacity, 1]), shape), -2)];
}
