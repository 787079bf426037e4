// Pointwise: y[i] = value(i), one element a thread.
//
// Declared by the launcher: COUNT, THREADS; value(i); put(i, v).
// Bandwidth-bound: whole chains of elementwise ops and index maps stand in `value`, so that each element is
// read once and written once.

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * THREADS + thread;
  if (i < COUNT) {
    put(i, value(i));
  }
}
