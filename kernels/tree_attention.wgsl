// Attention of T new rows over a cache that already holds them: y[b, t, h, :] = softmax over c of
// (q . key[c] / sqrt(SIZE) + bias[t, c]) * value[c], for cache rows c <= length + t.
//
// Declared by the launcher: BATCH, T, HEADS, KV_HEADS, CAPACITY, SIZE; qkv(b, t, j), length_at(b), bias_at(t, c),
// angle_cos(b, t, i), angle_sin(b, t, i), key_at(position), value_at(position), put(position, v).
// A workgroup of 64 threads makes one head of one row. It walks the cache 64 rows at a time: each thread scores one
// row, then each thread sums some columns of the values; the running maximum rescales what was summed before
// (online softmax), so that no row of scores is ever in memory. A tree's mask is the bias.

var<workgroup> query: array<f32, SIZE>;
var<workgroup> weight: array<f32, 64>;
var<workgroup> partial: array<f32, 64>;
const COLUMNS = (SIZE + 63u) / 64u;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let h = group.x;
  let t = group.y;
  let b = group.z;
  let kv = h / (HEADS / KV_HEADS);
  for (var i = lane; i < SIZE; i += 64u) {
    let pair = i % (SIZE / 2u);
    let x = qkv(b, t, h * SIZE + pair);
    let y = qkv(b, t, h * SIZE + pair + SIZE / 2u);
    let c = angle_cos(b, t, pair);
    let s = angle_sin(b, t, pair);
    query[i] = select(y * c + x * s, x * c - y * s, i < SIZE / 2u) * inverseSqrt(f32(SIZE));
  }
  workgroupBarrier();

  let rows = min(u32(max(length_at(b), 0i)) + t + 1u, CAPACITY);
  let first = (b * KV_HEADS + kv) * CAPACITY;
  var largest = -3.4028234e38f;
  var total = 0.0f; // of this thread's rows
  var sums: array<f32, COLUMNS>;
  for (var c0 = 0u; c0 < CAPACITY; c0 += 64u) {
    if (c0 < rows) {
      let c = c0 + lane;
      var score = -3.4028234e38f;
      if (c < rows) {
        score = 0.0f;
        for (var i = 0u; i < SIZE; i++) {
          score = fma(query[i], key_at((first + c) * SIZE + i), score);
        }
        score += bias_at(t, c);
      }
      weight[lane] = score;
    }
    workgroupBarrier();
    if (c0 < rows) {
      // Every thread looks through the 64 scores itself: cheaper than a tree of barriers.
      var most = largest;
      for (var j = 0u; j < 64u; j++) {
        most = max(most, weight[j]);
      }
      let shrink = exp(largest - most);
      largest = most;
      total *= shrink;
      for (var n = 0u; n < COLUMNS; n++) {
        sums[n] *= shrink;
      }
    }
    workgroupBarrier();
    if (c0 < rows) {
      let w = select(0.0f, exp(weight[lane] - largest), c0 + lane < rows);
      weight[lane] = w;
      total += w;
    }
    workgroupBarrier();
    if (c0 < rows) {
      let count = min(64u, rows - c0);
      for (var n = 0u; n < COLUMNS; n++) {
        let i = n * 64u + lane;
        if (i < SIZE) {
          for (var j = 0u; j < count; j++) {
            sums[n] = fma(weight[j], value_at((first + c0 + j) * SIZE + i), sums[n]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  partial[lane] = total;
  for (var step = 32u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (lane < step) {
      partial[lane] += partial[lane + step];
    }
  }
  workgroupBarrier();
  let whole = partial[0];
  for (var n = 0u; n < COLUMNS; n++) {
    let i = n * 64u + lane;
    if (i < SIZE) {
      put(((b * T + t) * HEADS + h) * SIZE + i, sums[n] / whole);
    }
  }
}
