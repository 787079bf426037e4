// Argmax of rows: y[r] = index of the largest of x[r, ..], of equal values the lowest index.
//
// Declared by the launcher: ROWS, LENGTH; x_at(r, i), put(r, index).
// 64 threads a row and one sweep, so that x_at may be computed on the way. A thread goes up through its elements and
// gives way to larger ones only; the fold compares indices too. Greedy decoding takes its tokens from here without
// the logits ever coming back to the host.

var<workgroup> best: array<f32, 64>;
var<workgroup> where_best: array<u32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  // Threads beyond a short row begin with its last element, as another one does.
  var index = min(lane, LENGTH - 1u);
  var value = 0.0f;
  if (r < ROWS) {
    value = x_at(r, index);
    for (var i = lane + 64u; i < LENGTH; i += 64u) {
      let x = x_at(r, i);
      if (x > value) {
        value = x;
        index = i;
      }
    }
  }
  best[lane] = value;
  where_best[lane] = index;
  for (var step = 32u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      let x = best[lane + step];
      let i = where_best[lane + step];
      if (x > best[lane] || (x == best[lane] && i < where_best[lane])) {
        best[lane] = x;
        where_best[lane] = i;
      }
    }
  }
  if (r < ROWS && lane == 0u) {
    put(r, i32(where_best[0]));
  }
}
