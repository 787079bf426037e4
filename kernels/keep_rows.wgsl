// Compaction, in place: of the cache rows behind moves[0], keep those at offsets moves[1 ..], moved together.
//
// Declared by the launcher: LEAD (sequences x heads), CAPACITY, WIDTH, COUNT offsets, ascending; cache, moves.
// A thread owns one column of one head and moves its rows in order: an offset is never smaller than its place, so
// nothing is overwritten before it is read, and no second buffer is needed.

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + thread;
  if (at >= LEAD * WIDTH) {
    return;
  }
  let first = at / WIDTH * CAPACITY * WIDTH + at % WIDTH;
  let start = u32(moves[0]);
  for (var i = 0u; i < COUNT; i++) {
    let source = start + u32(moves[i + 1u]);
    cache[first + (start + i) * WIDTH] = cache[first + source * WIDTH];
  }
}
