// Attention of T new rows over a cache that already holds them: y[b, t, h, :] = softmax over c of
// (q . key[c] / sqrt(SIZE) + bias[b, t, c]) * value[c], for cache rows c <= length + t.
//
// Declared by the launcher: BATCH, T, HEADS, KV_HEADS, CAPACITY, SIZE (a multiple of 4, at most 256); qkv(b, t, j),
// length_at(b), bias_at(b, t, c), angle_cos(b, t, i), angle_sin(b, t, i); key_at(p), value_at(p): four values at 4 p;
// put(position, v).
// A workgroup of 64 threads makes one head of one row. It walks the cache 64 rows at a time: each thread scores one
// row; then each thread adds up four columns of every PARTS-th value row. The running maximum rescales what was summed
// before (online softmax), so that no row of scores is ever in memory. A tree's mask is the bias.

const VECTORS = SIZE / 4u;
const PARTS = 64u / VECTORS;
var<workgroup> query: array<vec4f, VECTORS>;
var<workgroup> weight: array<f32, 64>;
var<workgroup> partial: array<vec4f, 64>;

fn rotated(b: u32, t: u32, h: u32, i: u32) -> f32 {
  let pair = i % (SIZE / 2u);
  let x = qkv(b, t, h * SIZE + pair);
  let y = qkv(b, t, h * SIZE + pair + SIZE / 2u);
  let c = angle_cos(b, t, pair);
  let s = angle_sin(b, t, pair);
  return select(y * c + x * s, x * c - y * s, i < SIZE / 2u);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let h = group.x;
  let t = group.y;
  let b = group.z;
  if (lane < VECTORS) {
    let i = lane * 4u;
    let q = vec4f(rotated(b, t, h, i), rotated(b, t, h, i + 1u), rotated(b, t, h, i + 2u), rotated(b, t, h, i + 3u));
    query[lane] = q * inverseSqrt(f32(SIZE));
  }
  workgroupBarrier();

  let rows = min(u32(max(length_at(b), 0i)) + t + 1u, CAPACITY);
  let first = (b * KV_HEADS + h / (HEADS / KV_HEADS)) * CAPACITY;
  let column = lane % VECTORS;
  let part = lane / VECTORS;
  var largest = -3.4028234e38f;
  var total = 0.0f; // of the weights
  var sums = vec4f();
  for (var c0 = 0u; c0 < CAPACITY; c0 += 64u) {
    if (c0 < rows) {
      let c = c0 + lane;
      var score = -3.4028234e38f;
      if (c < rows) {
        var products = vec4f();
        for (var i = 0u; i < VECTORS; i++) {
          products = fma(query[i], key_at((first + c) * VECTORS + i), products);
        }
        score = dot(products, vec4f(1.0f)) + bias_at(b, t, c);
      }
      weight[lane] = score;
    }
    workgroupBarrier();
    var mine = 0.0f;
    if (c0 < rows) {
      // Every thread looks through the 64 scores itself: cheaper than a tree of barriers.
      var most = largest;
      for (var j = 0u; j < 64u; j++) {
        most = max(most, weight[j]);
      }
      let shrink = exp(largest - most);
      largest = most;
      sums *= shrink;
      total *= shrink;
      mine = select(0.0f, exp(weight[lane] - largest), c0 + lane < rows);
    }
    workgroupBarrier();
    weight[lane] = mine;
    workgroupBarrier();
    if (c0 < rows) {
      let count = min(64u, rows - c0);
      for (var j = 0u; j < count; j++) {
        total += weight[j];
      }
      if (part < PARTS) {
        for (var j = part; j < count; j += PARTS) {
          sums = fma(vec4f(weight[j]), value_at((first + c0 + j) * VECTORS + column), sums);
        }
      }
    }
    workgroupBarrier();
  }
  partial[lane] = sums;
  workgroupBarrier();
  if (part == 0u) {
    var all = partial[lane];
    for (var p = 1u; p < PARTS; p++) {
      all += partial[lane + p * VECTORS];
    }
    all = all / total;
    let at = ((b * T + t) * HEADS + h) * SIZE + column * 4u;
    put(at, all.x);
    put(at + 1u, all.y);
    put(at + 2u, all.z);
    put(at + 3u, all.w);
  }
}
