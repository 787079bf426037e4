// Top-k of rows: y[r, 0 .. k) = indices of the K largest of x[r, ..], largest first, of equal values the lowest index.
//
// Declared by the launcher: ROWS, LENGTH, K; x_at(r, i), put(position, index).
// 64 threads a row; K sweeps, each of which finds the best element that comes after the last one found. With K of
// about ten that beats sorting, and it needs no memory.

var<workgroup> best: array<f32, 64>;
var<workgroup> where_best: array<u32, 64>;

fn before(a: f32, i: u32, b: f32, j: u32) -> bool {
  return a > b || (a == b && i < j);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  var last = 0.0f;
  var last_index = 0xffffffffu;
  for (var k = 0u; k < K; k++) {
    var value = -3.4028234e38f;
    var index = 0xffffffffu;
    if (r < ROWS) {
      for (var i = lane; i < LENGTH; i += 64u) {
        let x = x_at(r, i);
        let unseen = last_index == 0xffffffffu || before(last, last_index, x, i);
        if (unseen && before(x, i, value, index)) {
          value = x;
          index = i;
        }
      }
    }
    best[lane] = value;
    where_best[lane] = index;
    for (var step = 32u; step > 0u; step /= 2u) {
      workgroupBarrier();
      if (lane < step && before(best[lane + step], where_best[lane + step], best[lane], where_best[lane])) {
        best[lane] = best[lane + step];
        where_best[lane] = where_best[lane + step];
      }
    }
    workgroupBarrier();
    last = best[0];
    last_index = where_best[0];
    workgroupBarrier();
    if (r < ROWS && lane == 0u) {
      put(r * K + k, i32(last_index));
    }
  }
}
