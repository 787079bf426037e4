// Product of few rows: y[b, m, n] = ALPHA * sum over k of a[b, m, k] * b[b, k, n], for M of at most 8.
//
// Declared by the launcher: BATCH, M, N, K, ALPHA, LANES; a_row(b, m, k), b_column(b, k, n): four values along k;
// put(position, v).
// Decoding multiplies a few rows by matrices that are read once: what counts is reading b in its own order. LANES
// threads share a column (16 where b lies along k, 1 where it lies along n); all M sums of the column stay in
// registers, so that b is read once whatever M is.

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let n = group.x * (64u / LANES) + thread / LANES;
  let b = group.y;
  var sums: array<f32, M>;
  if (n < N) {
    for (var k = lane * 4u; k < K; k += LANES * 4u) {
      let w = b_column(b, k, n);
      for (var m = 0u; m < M; m++) {
        sums[m] += dot(a_row(b, m, k), w);
      }
    }
  }
  for (var m = 0u; m < M; m++) {
    var total = sums[m];
    if (LANES > 1u) {
      partial[thread] = total;
      for (var step = LANES / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if (lane < step) {
          partial[thread] += partial[thread + step];
        }
      }
      total = partial[thread];
      workgroupBarrier();
    }
    if (lane == 0u && n < N) {
      put((b * M + m) * N + n, ALPHA * total);
    }
  }
}
