// Matrix product: y[b, m, n] = ALPHA * sum over k of a[b, m, k] * b[b, k, n].
//
// Declared by the launcher: BATCH, M, N, K, ALPHA; a_rows(b, m, k): 8 rows of a, four values along k each;
// b_columns(b, k, n): four rows of b, eight columns each; put(position, v).
// A thread makes 8 x 8 sums in registers and reads both operands in vectors of four, straight from memory: 16 loads
// for 256 multiplications, neighbouring threads share them through the cache. No workgroup memory, hence no barriers,
// and threads beyond the edge leave at once. How an operand lies (transposed, heads inside rows, packed in 8 bits) is
// the launcher's business: it hands over the same blocks.

/// Eight columns.
struct Pair {
  l: vec4f,
  r: vec4f,
}

fn add(s: Pair, x: f32, y: Pair) -> Pair {
  return Pair(fma(vec4f(x), y.l, s.l), fma(vec4f(x), y.r, s.r));
}

fn along(s: Pair, x: vec4f, y: array<Pair, 4>) -> Pair {
  return add(add(add(add(s, x.x, y[0]), x.y, y[1]), x.z, y[2]), x.w, y[3]);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) thread: vec3u) {
  let b = group.z;
  let m = (group.y * 8u + thread.y) * 8u;
  let n = (group.x * 8u + thread.x) * 8u;
  if (m >= M || n >= N) {
    return;
  }
  var s0: Pair;
  var s1: Pair;
  var s2: Pair;
  var s3: Pair;
  var s4: Pair;
  var s5: Pair;
  var s6: Pair;
  var s7: Pair;
  for (var k = 0u; k < K; k += 4u) {
    let x = a_rows(b, m, k);
    let y = b_columns(b, k, n);
    s0 = along(s0, x[0], y);
    s1 = along(s1, x[1], y);
    s2 = along(s2, x[2], y);
    s3 = along(s3, x[3], y);
    s4 = along(s4, x[4], y);
    s5 = along(s5, x[5], y);
    s6 = along(s6, x[6], y);
    s7 = along(s7, x[7], y);
  }
  write(b, m, n, s0);
  write(b, m + 1u, n, s1);
  write(b, m + 2u, n, s2);
  write(b, m + 3u, n, s3);
  write(b, m + 4u, n, s4);
  write(b, m + 5u, n, s5);
  write(b, m + 6u, n, s6);
  write(b, m + 7u, n, s7);
}

fn write(b: u32, m: u32, n: u32, s: Pair) {
  if (m >= M) {
    return;
  }
  for (var c = 0u; c < 4u; c++) {
    if (n + c < N) {
      put((b * M + m) * N + n + c, ALPHA * s.l[c]);
    }
    if (n + c + 4u < N) {
      put((b * M + m) * N + n + c + 4u, ALPHA * s.r[c]);
    }
  }
}
