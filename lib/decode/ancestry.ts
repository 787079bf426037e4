/**
 * A tree of tokens as parents, and what follows from them: depths, who sees whom, paths. Plain host data;
 * it neither grows a tree nor judges one, and the attention bias is made from it in `model/placement.ts`.
 * Next on the walk of a prompt: `target.ts`, one forward over the nodes, then `verify.ts`.
 */

/** Node 0 is the root (the last sampled token, parent -1); parents stand before children. */
export interface Tree {
  tokens: Int32Array;
  parents: Int32Array;
  /** Sum of the draft's log-probabilities along the path; 0 at the root. */
  scores: Float32Array;
}

/** Depth of each node [N]; the root has 0. It is also the position after the root's. */
export function depthsOf(parents: Int32Array): Int32Array {
  const depths = new Int32Array(parents.length);
  for (let i = 1; i < parents.length; i++) depths[i] = depths[parents[i]] + 1;
  return depths;
}

/** [N, N], row-major: 1 where column j is node i itself or one of its ancestors. */
export function ancestorMask(parents: Int32Array): Uint8Array {
  const n = parents.length, mask = new Uint8Array(n * n);
  for (let i = 0; i < n; i++) {
    if (i > 0) mask.copyWithin(i * n, parents[i] * n, (parents[i] + 1) * n);
    mask[i * n + i] = 1;
  }
  return mask;
}

/** Children of each node, in node order. */
export function childrenOf(parents: Int32Array): number[][] {
  const children: number[][] = Array.from(parents, () => []);
  for (let i = 1; i < parents.length; i++) children[parents[i]].push(i);
  return children;
}

/**
 * Root-to-leaf paths as rows of node indices padded with -1 to the deepest path, leaves in node order: the
 * rows of the authors' `retrieve_indices`.
 */
export function pathsOf(parents: Int32Array): Int32Array[] {
  const children = childrenOf(parents), depths = depthsOf(parents);
  const longest = depths.reduce((a, b) => Math.max(a, b), 0) + 1;
  const paths: Int32Array[] = [];
  for (let leaf = 0; leaf < parents.length; leaf++) {
    if (children[leaf].length > 0) continue;
    const path = new Int32Array(longest).fill(-1);
    for (let node = leaf; node >= 0; node = parents[node]) path[depths[node]] = node;
    paths.push(path);
  }
  return paths;
}
