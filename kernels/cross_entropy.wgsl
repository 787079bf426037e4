// Soft cross entropy of rows: y[r] = sum over v of p[r, v] * (m + log(sum exp(x - m)) - x[r, v]).
//
// Declared by the launcher: ROWS, LENGTH; x_at(r, v) logits, p_at(r, v), put(r, value).
// 64 threads a row; one sweep for the maximum, one for the sum of exponentials, the sum of p and that of p (x - m).
// No second copy of the logits is made: log softmax is never written.

var<workgroup> partial: array<vec3f, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  var largest = -3.4028234e38f;
  if (r < ROWS) {
    for (var v = lane; v < LENGTH; v += 64u) {
      largest = max(largest, x_at(r, v));
    }
  }
  partial[lane].x = largest;
  for (var step = 32u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[lane].x = max(partial[lane].x, partial[lane + step].x);
    }
  }
  workgroupBarrier();
  largest = partial[0].x;
  workgroupBarrier();

  var sums = vec3f(); // exp(x - m), p, p (x - m)
  if (r < ROWS) {
    for (var v = lane; v < LENGTH; v += 64u) {
      let x = x_at(r, v) - largest;
      let p = p_at(r, v);
      sums += vec3f(exp(x), p, p * x);
    }
  }
  partial[lane] = sums;
  for (var step = 32u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[lane] += partial[lane + step];
    }
  }
  if (r < ROWS && lane == 0u) {
    let s = partial[0];
    put(r, s.y * log(s.x) - s.z);
  }
}
