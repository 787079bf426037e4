// Matrix product: y[b, m, n] = ALPHA * sum over k of a_at(b, m, k) * b_at(b, k, n).
//
// Declared by the launcher: BATCH, M, N, K, ALPHA; a_at, b_at, put(position, v).
// A workgroup of 16 x 16 threads makes a 64 x 64 tile, each thread 4 x 4 sums in registers; tiles of both operands,
// 16 deep, wait in workgroup memory, so that each element is loaded M/64 or N/64 times instead of M or N. Transposed
// operands and heads inside rows are index maps of a_at and b_at, not copies.

const TILE = 64u;
const DEPTH = 16u;
var<workgroup> a_tile: array<f32, 1024>; // [DEPTH][TILE]
var<workgroup> b_tile: array<vec4f, 256>; // [DEPTH][TILE / 4]

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row0 = group.y * TILE;
  let column0 = group.x * TILE;
  let row = (thread / 16u) * 4u;
  let column = thread % 16u;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var k0 = 0u; k0 < K; k0 += DEPTH) {
    for (var i = 0u; i < 4u; i++) {
      let at = i * 256u + thread;
      // Neighbouring threads read neighbours along k where that is how a lies (A_ALONG_K), else along m.
      let r = select(at % TILE, at / DEPTH, A_ALONG_K);
      let d = select(at / TILE, at % DEPTH, A_ALONG_K);
      var v = 0.0f;
      if (row0 + r < M && k0 + d < K) {
        v = a_at(group.z, row0 + r, k0 + d);
      }
      a_tile[d * TILE + r] = v;
    }
    for (var i = 0u; i < 4u; i++) {
      let at = i * 256u + thread;
      let c = select(at % TILE, at / DEPTH, B_ALONG_K);
      let d = select(at / TILE, at % DEPTH, B_ALONG_K);
      var v = 0.0f;
      if (column0 + c < N && k0 + d < K) {
        v = b_at(group.z, k0 + d, column0 + c);
      }
      b_tile[d * 16u + c / 4u][c % 4u] = v;
    }
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let y = b_tile[d * 16u + column];
      let x = d * TILE + row;
      s0 = fma(vec4f(a_tile[x]), y, s0);
      s1 = fma(vec4f(a_tile[x + 1u]), y, s1);
      s2 = fma(vec4f(a_tile[x + 2u]), y, s2);
      s3 = fma(vec4f(a_tile[x + 3u]), y, s3);
    }
    workgroupBarrier();
  }
  write(group.z, row0 + row, column0 + column * 4u, s0);
  write(group.z, row0 + row + 1u, column0 + column * 4u, s1);
  write(group.z, row0 + row + 2u, column0 + column * 4u, s2);
  write(group.z, row0 + row + 3u, column0 + column * 4u, s3);
}

fn write(b: u32, m: u32, n: u32, sums: vec4f) {
  if (m >= M) {
    return;
  }
  let at = (b * M + m) * N + n;
  for (var c = 0u; c < 4u; c++) {
    if (n + c < N) {
      put(at + c, ALPHA * sums[c]);
    }
  }
}
