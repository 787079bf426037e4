/**
 * A sliding window as graph: which cache rows lie too far back, told by positions, so that it is the same for a chunk of a
 * prompt, one row and a tree. Caches stay as long as without one. Which layers slide: `families.ts`; used by `llama.ts`.
 */
import { HIDDEN, type Node } from "../graph/node.ts";
import {
  broadcast,
  compare,
  constant,
  fill,
  max,
  min,
  reshape,
  sub,
  takeAlong,
  where,
} from "../graph/ops.ts";

/**
 * The bias [B,1,T,C] of rows that see `size` positions, their own among them: `bias` [1,1,T,C], and hidden where a
 * cache row lies further back. Rows from before stand at the position of their column, new ones (nodes of a tree) at
 * theirs: `positions` [B,T], `length` [B].
 */
export function windowBias(
  { positions, length, bias }: { positions: Node; length: Node; bias: Node },
  size: number,
): Node {
  const [b, rows] = positions.shape, [, , , capacity] = bias.shape;
  const columns = constant(Int32Array.from({ length: capacity }, (_, c) => c), [1, capacity]);
  const fresh = sub(columns, reshape(length, [b, 1])); // [B,C]: the number of a column's new row
  const own = takeAlong(positions, max(min(fresh, rows - 1), 0), 1);
  const stands = where(compare("ge", fresh, 0), own, broadcast(columns, [b, capacity]));
  const back = sub(reshape(positions, [b, 1, rows, 1]), reshape(stands, [b, 1, 1, capacity]));
  return where(compare("lt", back, size), bias, fill(HIDDEN));
}
