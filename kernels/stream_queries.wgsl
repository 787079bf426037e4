// Gradient of stream_attention for its queries: dq[r] = scale * sum over what row r sees of e k, with
// e = w (dy . v - dot[r]), w = exp(scale q . k - log[r]), dot[r] = dy[r] . y[r]. Also writes dot.
//
// Declared by the launcher: as for stream_attention, without FUTURE, and slope_at(p), result_at(p): four values at 4 p
// of dy and y [B,T,HEADS,SIZE]; log_at(p), put(p, four values), put_dot(p, v).
// The threads of stream_attention over the same tiles: weights are made again from the row's logarithm instead of
// being read. A row is written by one workgroup alone, so that nothing is added up in memory.

const VECTORS = SIZE / 4u;
const SCALE = inverseSqrt(f32(SIZE));
var<workgroup> begin: u32;
/// Of four rows, by column group and row group: for scores, for dy . v or dy . y.
var<workgroup> partial: array<vec4f, 64>;
var<workgroup> other: array<vec4f, 64>;
/// e of four rows, by column and row group.
var<workgroup> slope: array<vec4f, 256>;

/// One vector of each of four rows.
struct Rows {
  x: vec4f,
  y: vec4f,
  z: vec4f,
  w: vec4f,
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

fn four(a: Rows, b: vec4f) -> vec4f {
  return vec4f(dot(a.x, b), dot(a.y, b), dot(a.z, b), dot(a.w, b));
}

fn queries(p: vec4u) -> Rows {
  return Rows(query_at(p.x), query_at(p.y), query_at(p.z), query_at(p.w));
}

fn slopes(p: vec4u) -> Rows {
  return Rows(slope_at(p.x), slope_at(p.y), slope_at(p.z), slope_at(p.w));
}

fn later_keys(s: u32, p: vec4u) -> Rows {
  return Rows(later_key(s, p.x), later_key(s, p.y), later_key(s, p.z), later_key(s, p.w));
}

/// Products of four pairs of vectors.
fn dots(a: Rows, b: Rows) -> vec4f {
  return vec4f(dot(a.x, b.x), dot(a.y, b.y), dot(a.z, b.z), dot(a.w, b.w));
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
  let stored = (b * HEADS + h) * T + known;
  let logs = vec4f(log_at(stored.x), log_at(stored.y), log_at(stored.z), log_at(stored.w));
  let q = stored * VECTORS;
  let dy = ((b * T + known) * HEADS + h) * VECTORS;
  let kv = (b * KV_HEADS + h / (HEADS / KV_HEADS)) * T;

  var mine = vec4f();
  for (var i = x; i < VECTORS; i += 8u) {
    let p = dy + i;
    mine += dots(slopes(p), Rows(result_at(p.x), result_at(p.y), result_at(p.z), result_at(p.w)));
  }
  other[lane] = mine;
  if (lane == 0u) {
    begin = start_at(b, first);
  }
  workgroupBarrier();
  var along = vec4f();
  for (var i = 0u; i < 8u; i++) {
    along += other[y * 8u + i];
  }

  var s0: Rows;
  var s1: Rows;
  var s2: Rows;
  var s3: Rows;
  let end = select(0u, min(first + 32u - GAP, T), first + 32u > GAP);
  for (var c0 = workgroupUniformLoad(&begin); c0 < end; c0 += 32u) {
    let c = vec4u(0u, 1u, 2u, 3u) + c0 + x * 4u;
    let k = (kv + min(c, vec4u(T - 1u))) * VECTORS;
    var a0 = vec4f(); // scores of four rows with each of four columns
    var a1 = vec4f();
    var a2 = vec4f();
    var a3 = vec4f();
    var e0 = vec4f(); // products of dy and values
    var e1 = vec4f();
    var e2 = vec4f();
    var e3 = vec4f();
    for (var i = 0u; i < VECTORS; i++) {
      let rows = queries(q + i);
      a0 += four(rows, key_at(k.x + i));
      a1 += four(rows, key_at(k.y + i));
      a2 += four(rows, key_at(k.z + i));
      a3 += four(rows, key_at(k.w + i));
      let given = slopes(dy + i);
      e0 += four(given, value_at(k.x + i));
      e1 += four(given, value_at(k.y + i));
      e2 += four(given, value_at(k.z + i));
      e3 += four(given, value_at(k.w + i));
    }
    workgroupBarrier(); // the tile before has been read
    slope[(x * 4u + 0u) * 8u + y] = select(vec4f(), exp(a0 * SCALE - logs) * (e0 - along), seen(row, c.x, start));
    slope[(x * 4u + 1u) * 8u + y] = select(vec4f(), exp(a1 * SCALE - logs) * (e1 - along), seen(row, c.y, start));
    slope[(x * 4u + 2u) * 8u + y] = select(vec4f(), exp(a2 * SCALE - logs) * (e2 - along), seen(row, c.z, start));
    slope[(x * 4u + 3u) * 8u + y] = select(vec4f(), exp(a3 * SCALE - logs) * (e3 - along), seen(row, c.w, start));
    workgroupBarrier();
    let count = min(32u, T - c0);
    for (var j = 0u; j < count; j++) {
      let e = slope[j * 8u + y];
      let at = (kv + c0 + j) * VECTORS + x;
      if (x < VECTORS) {
        s0 = add(s0, e, key_at(at));
      }
      if (x + 8u < VECTORS) {
        s1 = add(s1, e, key_at(at + 8u));
      }
      if (x + 16u < VECTORS) {
        s2 = add(s2, e, key_at(at + 16u));
      }
      if (x + 24u < VECTORS) {
        s3 = add(s3, e, key_at(at + 24u));
      }
    }
  }

  for (var s = 0u; s < LATER; s++) {
    let c = known - min(known, vec4u(back(s)));
    let k = (kv + c) * VECTORS + x;
    var score = vec4f();
    var product = vec4f();
    for (var i = 0u; i + x < VECTORS; i += 8u) {
      let p = k + i;
      let v = Rows(later_value(s, p.x), later_value(s, p.y), later_value(s, p.z), later_value(s, p.w));
      score += dots(queries(q + x + i), later_keys(s, p));
      product += dots(slopes(dy + x + i), v);
    }
    workgroupBarrier();
    partial[lane] = score;
    other[lane] = product;
    workgroupBarrier();
    score = vec4f();
    product = vec4f();
    for (var i = 0u; i < 8u; i++) {
      score += partial[y * 8u + i];
      product += other[y * 8u + i];
    }
    let own = (row >= vec4u(back(s))) & (c >= start);
    let e = select(vec4f(), exp(score * SCALE - logs) * (product - along), own);
    if (x < VECTORS) {
      s0 = add_each(s0, e, later_keys(s, k));
    }
    if (x + 8u < VECTORS) {
      s1 = add_each(s1, e, later_keys(s, k + 8u));
    }
    if (x + 16u < VECTORS) {
      s2 = add_each(s2, e, later_keys(s, k + 16u));
    }
    if (x + 24u < VECTORS) {
      s3 = add_each(s3, e, later_keys(s, k + 24u));
    }
  }

  let at = ((b * HEADS + h) * T + row) * VECTORS + x;
  write(row, at, x, s0);
  write(row, at + 8u, x + 8u, s1);
  write(row, at + 16u, x + 16u, s2);
  write(row, at + 24u, x + 24u, s3);
  if (x == 0u) {
    for (var i = 0u; i < 4u; i++) {
      if (row[i] < T) {
        put_dot((b * HEADS + h) * T + row[i], along[i]);
      }
    }
  }
}

/// Which rows see a column of stream 0.
fn seen(row: vec4u, c: u32, start: vec4u) -> vec4<bool> {
  return (vec4u(c + GAP) <= row) & (vec4u(c) >= start);
}

fn write(row: vec4u, at: vec4u, vector: u32, s: Rows) {
  if (vector >= VECTORS) {
    return;
  }
  if (row.x < T) {
    put(at.x, s.x * SCALE);
  }
  if (row.y < T) {
    put(at.y, s.y * SCALE);
  }
  if (row.z < T) {
    put(at.z, s.z * SCALE);
  }
  if (row.w < T) {
    put(at.w, s.w * SCALE);
  }
}
