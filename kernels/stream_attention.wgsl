// Attention of training: y[b, r, h, :] = sum of w v, w = softmax over what row r sees of scale q . k: of stream 0 the
// columns c <= r - GAP, of each later stream one column r - back(s), all from start(b, r) on. Also log(sum of exp).
//
// Declared by the launcher: T, HEADS, KV_HEADS, SIZE (a multiple of 4, at most 128), GAP, LATER streams, FUTURE: rows
// to come count with score 0; query_at(p), key_at(p), value_at(p), later_key(s, p), later_value(s, p): four values at
// 4 p; back(s), start_at(b, r), put(p, four values), put_log(p, v).
// 8 x 8 threads make 32 rows of one head, and walk the columns 32 at a time: a thread scores 4 rows by 4 columns in
// registers, the weights go through workgroup memory, then it adds up vectors x, x + 8, .. of its 4 rows. Running
// maxima rescale what was summed before (online softmax): T x T numbers are nowhere in memory. Two barriers a tile.

const VECTORS = SIZE / 4u;
const LOWEST = -3.4028234e38f;
const SCALE = inverseSqrt(f32(SIZE));
var<workgroup> begin: u32;
/// Of four rows, by column group and row group.
var<workgroup> partial: array<vec4f, 64>;
/// Weights of four rows, by column and row group.
var<workgroup> weight: array<vec4f, 256>;

/// One vector of each of four rows.
struct Rows {
  x: vec4f,
  y: vec4f,
  z: vec4f,
  w: vec4f,
}

fn scaled(s: Rows, by: vec4f) -> Rows {
  return Rows(s.x * by.x, s.y * by.y, s.z * by.z, s.w * by.w);
}

fn add(s: Rows, w: vec4f, v: vec4f) -> Rows {
  return Rows(fma(vec4f(w.x), v, s.x), fma(vec4f(w.y), v, s.y), fma(vec4f(w.z), v, s.z), fma(vec4f(w.w), v, s.w));
}

/// The same with another vector for each row.
fn add_each(s: Rows, w: vec4f, v: Rows) -> Rows {
  return Rows(
    fma(vec4f(w.x), v.x, s.x),
    fma(vec4f(w.y), v.y, s.y),
    fma(vec4f(w.z), v.z, s.z),
    fma(vec4f(w.w), v.w, s.w),
  );
}

fn later_values(s: u32, p: vec4u) -> Rows {
  return Rows(later_value(s, p.x), later_value(s, p.y), later_value(s, p.z), later_value(s, p.w));
}

fn four(a: Rows, b: vec4f) -> vec4f {
  return vec4f(dot(a.x, b), dot(a.y, b), dot(a.z, b), dot(a.w, b));
}

/// Sum over the threads of a row group, known to each of them.
fn added(y: u32) -> vec4f {
  var sum = vec4f();
  for (var i = 0u; i < 8u; i++) {
    sum += partial[y * 8u + i];
  }
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane % 8u;
  let y = lane / 8u;
  let h = group.y;
  let b = group.z;
  let first = group.x * 32u;
  let row = vec4u(0u, 1u, 2u, 3u) + first + y * 4u;
  let known = min(row, vec4u(T - 1u)); // rows behind the last read what it reads, and are not written
  let start = vec4u(start_at(b, known.x), start_at(b, known.y), start_at(b, known.z), start_at(b, known.w));
  let q = ((b * HEADS + h) * T + known) * VECTORS;
  let kv = (b * KV_HEADS + h / (HEADS / KV_HEADS)) * T;

  var largest = vec4f(LOWEST);
  var total = vec4f(); // of the weights
  if (FUTURE) {
    total = vec4f(T - 1u - known);
    largest = select(vec4f(LOWEST), vec4f(), total > vec4f());
  }
  var s0: Rows;
  var s1: Rows;
  var s2: Rows;
  var s3: Rows;

  if (lane == 0u) {
    begin = start_at(b, first);
  }
  let end = select(0u, min(first + 32u - GAP, T), first + 32u > GAP);
  for (var c0 = workgroupUniformLoad(&begin); c0 < end; c0 += 32u) {
    let c = vec4u(0u, 1u, 2u, 3u) + c0 + x * 4u;
    let k = (kv + min(c, vec4u(T - 1u))) * VECTORS;
    var a0 = vec4f(); // scores of four rows with each of four columns
    var a1 = vec4f();
    var a2 = vec4f();
    var a3 = vec4f();
    for (var i = 0u; i < VECTORS; i++) {
      let rows = Rows(query_at(q.x + i), query_at(q.y + i), query_at(q.z + i), query_at(q.w + i));
      a0 += four(rows, key_at(k.x + i));
      a1 += four(rows, key_at(k.y + i));
      a2 += four(rows, key_at(k.z + i));
      a3 += four(rows, key_at(k.w + i));
    }
    a0 = select(vec4f(LOWEST), a0 * SCALE, seen(row, vec4u(c.x), start));
    a1 = select(vec4f(LOWEST), a1 * SCALE, seen(row, vec4u(c.y), start));
    a2 = select(vec4f(LOWEST), a2 * SCALE, seen(row, vec4u(c.z), start));
    a3 = select(vec4f(LOWEST), a3 * SCALE, seen(row, vec4u(c.w), start));
    partial[lane] = max(max(a0, a1), max(a2, a3));
    workgroupBarrier();
    var most = largest;
    for (var i = 0u; i < 8u; i++) {
      most = max(most, partial[y * 8u + i]);
    }
    let shrink = exp(largest - most);
    largest = most;
    total *= shrink;
    s0 = scaled(s0, shrink);
    s1 = scaled(s1, shrink);
    s2 = scaled(s2, shrink);
    s3 = scaled(s3, shrink);
    weight[(x * 4u + 0u) * 8u + y] = weighed(a0, most);
    weight[(x * 4u + 1u) * 8u + y] = weighed(a1, most);
    weight[(x * 4u + 2u) * 8u + y] = weighed(a2, most);
    weight[(x * 4u + 3u) * 8u + y] = weighed(a3, most);
    workgroupBarrier();
    let count = min(32u, T - c0);
    for (var j = 0u; j < count; j++) {
      let w = weight[j * 8u + y];
      let v = (kv + c0 + j) * VECTORS + x;
      total += w;
      if (x < VECTORS) {
        s0 = add(s0, w, value_at(v));
      }
      if (x + 8u < VECTORS) {
        s1 = add(s1, w, value_at(v + 8u));
      }
      if (x + 16u < VECTORS) {
        s2 = add(s2, w, value_at(v + 16u));
      }
      if (x + 24u < VECTORS) {
        s3 = add(s3, w, value_at(v + 24u));
      }
    }
  }

  for (var s = 0u; s < LATER; s++) {
    let c = known - min(known, vec4u(back(s)));
    let k = (kv + c) * VECTORS + x;
    var sum = vec4f();
    for (var i = 0u; i + x < VECTORS; i += 8u) {
      let p = q + x + i;
      sum.x += dot(query_at(p.x), later_key(s, k.x + i));
      sum.y += dot(query_at(p.y), later_key(s, k.y + i));
      sum.z += dot(query_at(p.z), later_key(s, k.z + i));
      sum.w += dot(query_at(p.w), later_key(s, k.w + i));
    }
    workgroupBarrier();
    partial[lane] = sum;
    workgroupBarrier();
    let own = (row >= vec4u(back(s))) & (c >= start);
    let score = select(vec4f(LOWEST), added(y) * SCALE, own);
    let most = max(largest, score);
    let shrink = exp(largest - most);
    let w = weighed(score, most);
    largest = most;
    total = total * shrink + w;
    if (x < VECTORS) {
      s0 = add_each(scaled(s0, shrink), w, later_values(s, k));
    }
    if (x + 8u < VECTORS) {
      s1 = add_each(scaled(s1, shrink), w, later_values(s, k + 8u));
    }
    if (x + 16u < VECTORS) {
      s2 = add_each(scaled(s2, shrink), w, later_values(s, k + 16u));
    }
    if (x + 24u < VECTORS) {
      s3 = add_each(scaled(s3, shrink), w, later_values(s, k + 24u));
    }
  }

  let at = ((b * T + row) * HEADS + h) * VECTORS + x;
  write(row, at, x, s0, total);
  write(row, at + 8u, x + 8u, s1, total);
  write(row, at + 16u, x + 16u, s2, total);
  write(row, at + 24u, x + 24u, s3, total);
  if (x == 0u) {
    let logs = largest + log(total);
    for (var i = 0u; i < 4u; i++) {
      if (row[i] < T) {
        put_log((b * HEADS + h) * T + row[i], logs[i]);
      }
    }
  }
}

/// Which rows see a column of stream 0.
fn seen(row: vec4u, c: vec4u, start: vec4u) -> vec4<bool> {
  return (c + GAP <= row) & (c >= start);
}

/// exp(score - most), 0 where nothing is seen.
fn weighed(score: vec4f, most: vec4f) -> vec4f {
  return select(exp(score - most), vec4f(), score == vec4f(LOWEST));
}

fn write(row: vec4u, at: vec4u, vector: u32, s: Rows, total: vec4f) {
  if (vector >= VECTORS) {
    return;
  }
  if (row.x < T) {
    put(at.x, s.x / total.x);
  }
  if (row.y < T) {
    put(at.y, s.y / total.y);
  }
  if (row.z < T) {
    put(at.z, s.z / total.z);
  }
  if (row.w < T) {
    put(at.w, s.w / total.w);
  }
}
