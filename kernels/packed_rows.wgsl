// Product of few rows with a packed matrix: y[m, n] = sum over k of a[m, k] * scale[n, k / block] * q[n, k], M at most 8.
//
// Declared by the launcher: M, N, K, LANES; a_row(b, m, k): four values along k; weights(n, k): sixteen of q, all of
// one block; scale_at(n, k); put(position, v).
// What counts is reading the matrix once, as it is packed: a lane takes sixteen values of a row in one load of 16 bytes
// (8 bits) or 8 (4 bits), never more than a block, so that the scale is multiplied into sixteen sums' total and not
// into each weight. Columns, lanes and the single barrier are those of row_product.wgsl.

/// Sixteen values along k.
struct Sixteen {
  a: vec4f,
  b: vec4f,
  c: vec4f,
  d: vec4f,
}

const COLUMNS = 4u * (64u / LANES); // of a workgroup
var<workgroup> partial: array<vec4f, 64u * M>; // [row][thread], four columns each

fn sum_of(x: Sixteen, w: Sixteen) -> f32 {
  return dot(x.a, w.a) + dot(x.b, w.b) + dot(x.c, w.c) + dot(x.d, w.d);
}

fn columns(m: u32, k: u32, w0: Sixteen, w1: Sixteen, w2: Sixteen, w3: Sixteen) -> vec4f {
  let x = Sixteen(a_row(0u, m, k), a_row(0u, m, k + 4u), a_row(0u, m, k + 8u), a_row(0u, m, k + 12u));
  return vec4f(sum_of(x, w0), sum_of(x, w1), sum_of(x, w2), sum_of(x, w3));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let n0 = group.x * COLUMNS;
  let n = n0 + thread / LANES * 4u;
  var s: array<vec4f, 8>;
  if (n < N) {
    let n1 = min(n + 1u, N - 1u);
    let n2 = min(n + 2u, N - 1u);
    let n3 = min(n + 3u, N - 1u);
    for (var k = lane * 16u; k < K; k += LANES * 16u) {
      let w0 = weights(n, k);
      let w1 = weights(n1, k);
      let w2 = weights(n2, k);
      let w3 = weights(n3, k);
      let scale = vec4f(scale_at(n, k), scale_at(n1, k), scale_at(n2, k), scale_at(n3, k));
      s[0] += scale * columns(0u, k, w0, w1, w2, w3);
      if (M > 1u) { s[1] += scale * columns(1u, k, w0, w1, w2, w3); }
      if (M > 2u) { s[2] += scale * columns(2u, k, w0, w1, w2, w3); }
      if (M > 3u) { s[3] += scale * columns(3u, k, w0, w1, w2, w3); }
      if (M > 4u) { s[4] += scale * columns(4u, k, w0, w1, w2, w3); }
      if (M > 5u) { s[5] += scale * columns(5u, k, w0, w1, w2, w3); }
      if (M > 6u) { s[6] += scale * columns(6u, k, w0, w1, w2, w3); }
      if (M > 7u) { s[7] += scale * columns(7u, k, w0, w1, w2, w3); }
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
      put(m * N + n0 + c, total);
    }
  }
}
