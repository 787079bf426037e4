// Sampling from rows: y[r] = first i with p[r, i] > 0 and p[r, 0] + .. + p[r, i] > uniform[r] * (sum of p[r, ..]).
//
// Declared by the launcher: ROWS, LENGTH; p_at(r, i), uniform_at(r), put(r, index).
// 64 threads a row. Each adds up one 64th of the row; the part in which the sum passes the target is divided among
// all threads again, until the parts are single elements: three rounds for 262144 of them, the row read once and a
// 64th of it again. Where rounding leaves no part that passes, the last one with any probability is taken: what is
// drawn always had some. Random numbers are the caller's, so that equal numbers draw equal tokens on every backend.

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  var start = 0u; // the range that holds the element, and the sum of what comes before it
  var end = LENGTH;
  var before = 0.0f;
  var goal = 0.0f;
  var size = LENGTH;
  loop {
    size = (size + 63u) / 64u;
    var total = 0.0f;
    if (r < ROWS) {
      let first = start + lane * size;
      for (var i = first; i < min(first + size, end); i++) {
        total += p_at(r, i);
      }
    }
    workgroupBarrier();
    partial[lane] = total;
    workgroupBarrier();
    if (end == LENGTH && start == 0u && r < ROWS) {
      var all = 0.0f;
      for (var j = 0u; j < 64u; j++) {
        all += partial[j];
      }
      goal = uniform_at(r) * all;
    }
    // Every thread looks for the part by itself: cheaper than telling it to the others.
    var found = 0u;
    var sum = before;
    for (var j = 0u; j < 64u; j++) {
      if (partial[j] > 0.0f) {
        found = j;
        before = sum;
        sum += partial[j];
        if (sum > goal) {
          break;
        }
      }
    }
    start += found * size;
    end = min(start + size, end);
    if (size == 1u) {
      break;
    }
  }
  if (r < ROWS && lane == 0u) {
    put(r, i32(start));
  }
}
