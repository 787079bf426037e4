// Compaction, in place: of the cache rows from from_at() on, row i becomes what row offset_at(i) was.
//
// Declared by the launcher: LEAD (sequences x heads), CAPACITY, WIDTH, COUNT offsets; from_at(), offset_at(i),
// cache_get(position), cache_put(position, v).
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
  let start = u32(from_at());
  for (var i = 0u; i < COUNT; i++) {
    let source = start + u32(offset_at(i));
    cache_put(first + (start + i) * WIDTH, cache_get(first + source * WIDTH));
  }
}
