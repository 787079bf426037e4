// Product of few rows: y[b, m, n] = ALPHA * sum over k of a[b, m, k] * b[b, k, n], for M of at most 8.
//
// Declared by the launcher: BATCH, M, N, K, ALPHA, LANES; a_row(b, m, k), b_column(b, k, n): four values along k;
// put(position, v).
// Decoding multiplies a few rows by matrices that are read once: what counts is reading b in its own order, with
// enough threads to keep memory busy. LANES threads share four columns (16 where b lies along k, 1 where it lies along
// n) and add up their parts at the end behind a single barrier; the sums of all rows stay in registers. Rows beyond M
// are constants to the compiler and cost nothing.

const COLUMNS = 4u * (64u / LANES); // of a workgroup
var<workgroup> partial: array<vec4f, 64u * M>; // [row][thread], four columns each

fn columns(x: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
  return vec4f(dot(x, w0), dot(x, w1), dot(x, w2), dot(x, w3));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let n0 = group.x * COLUMNS;
  let n = n0 + thread / LANES * 4u;
  let b = group.y;
  var s: array<vec4f, 8>;
  if (n < N) {
    for (var k = lane * 4u; k < K; k += LANES * 4u) {
      let w0 = b_column(b, k, n);
      let w1 = b_column(b, k, min(n + 1u, N - 1u));
      let w2 = b_column(b, k, min(n + 2u, N - 1u));
      let w3 = b_column(b, k, min(n + 3u, N - 1u));
      s[0] += columns(a_row(b, 0u, k), w0, w1, w2, w3);
      if (M > 1u) { s[1] += columns(a_row(b, 1u, k), w0, w1, w2, w3); }
      if (M > 2u) { s[2] += columns(a_row(b, 2u, k), w0, w1, w2, w3); }
      if (M > 3u) { s[3] += columns(a_row(b, 3u, k), w0, w1, w2, w3); }
      if (M > 4u) { s[4] += columns(a_row(b, 4u, k), w0, w1, w2, w3); }
      if (M > 5u) { s[5] += columns(a_row(b, 5u, k), w0, w1, w2, w3); }
      if (M > 6u) { s[6] += columns(a_row(b, 6u, k), w0, w1, w2, w3); }
      if (M > 7u) { s[7] += columns(a_row(b, 7u, k), w0, w1, w2, w3); }
    }
  }
  partial[thread] = s[0];
  if (M > 1u) { partial[64u + thread] = s[1]; }
  if (M > 2u) { partial[128u + thread] = s[2]; }
  if (M > 3u) { partial[192u + thread] = s[3]; }
  if (M > 4u) { partial[256u + thread] = s[4]; }
  if (M > 5u) { partial[320u + thread] = s[5]; }
  if (M > 6u) { partial[384u + thread] = s[6]; }
  if (M > 7u) { partial[448u + thread] = s[7]; }
  workgroupBarrier();
  for (var o = thread; o < M * COLUMNS; o += 64u) {
    let m = o / COLUMNS;
    let c = o % COLUMNS;
    var total = 0.0f;
    for (var j = 0u; j < LANES; j++) {
      total += partial[m * 64u + c / 4u * LANES + j][c % 4u];
    }
    if (n0 + c < N) {
      put((b * M + m) * N + n0 + c, ALPHA * total);
    }
  }
}
