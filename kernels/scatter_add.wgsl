// Scatter-add: y[v, j] = sum over i with id_at(i) = v of value(i, j).
//
// Declared by the launcher: ROWS results, COUNT ids, WIDTH; id_at(i), value(i, j), put(position, v).
// A workgroup makes one row of the result and looks through all ids in order: no atomic additions, hence the same
// sums in the same order on every run.

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let v = group.y * groups.x + group.x;
  if (v >= ROWS) {
    return;
  }
  for (var j = thread; j < WIDTH; j += 64u) {
    var total = 0.0f;
    for (var i = 0u; i < COUNT; i++) {
      if (id_at(i) == i32(v)) {
        total += value(i, j);
      }
    }
    put(v * WIDTH + j, total);
  }
}
