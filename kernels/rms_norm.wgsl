// RMSNorm over rows: y[r, i] = w[i] * x[r, i] / sqrt(mean over i of x^2 + EPSILON).
//
// Declared by the launcher: ROWS, LENGTH, EPSILON; x_at(r, i), w_at(i), put(position, v).
// 64 threads a row, two sweeps: the mean square, then the result.

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  var total = 0.0f;
  if (r < ROWS) {
    for (var i = lane; i < LENGTH; i += 64u) {
      let x = x_at(r, i);
      total = fma(x, x, total);
    }
  }
  partial[lane] = total;
  for (var step = 32u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[lane] += partial[lane + step];
    }
  }
  workgroupBarrier();
  let scale = 1.0f / sqrt(partial[0] / f32(LENGTH) + EPSILON);
  if (r < ROWS) {
    for (var i = lane; i < LENGTH; i += 64u) {
      put(r * LENGTH + i, x_at(r, i) * scale * w_at(i));
    }
  }
}
