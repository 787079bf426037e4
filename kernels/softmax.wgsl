// Softmax and its logarithm over rows: y[r, i] = exp(x - m) / sum exp(x - m), or x - m - log(sum), m the row's maximum.
//
// Declared by the launcher: ROWS, LENGTH, LOG; x_at(r, i), put(position, v).
// 64 threads a row, three sweeps over it (maximum, sum, result): a row is read from the cache after the first.
// Against overflow the maximum is taken off before exp, as in the expansion.

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  var largest = -3.4028234e38f;
  if (r < ROWS) {
    for (var i = lane; i < LENGTH; i += 64u) {
      largest = max(largest, x_at(r, i));
    }
  }
  partial[lane] = largest;
  for (var step = 32u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[lane] = max(partial[lane], partial[lane + step]);
    }
  }
  workgroupBarrier();
  largest = partial[0];
  workgroupBarrier();

  var total = 0.0f;
  if (r < ROWS) {
    for (var i = lane; i < LENGTH; i += 64u) {
      total += exp(x_at(r, i) - largest);
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
  total = partial[0];

  let scale = 1.0f / total;
  let shift = largest + log(total);
  if (r < ROWS) {
    for (var i = lane; i < LENGTH; i += 64u) {
      let x = x_at(r, i);
      if (LOG) {
        put(r * LENGTH + i, x - shift);
      } else {
        put(r * LENGTH + i, exp(x - largest) * scale);
      }
    }
  }
}
