// Gradient of stream_attention for the keys and values of one stream: dv[c] = sum over the rows r that see column c of
// w dy[r], dk[c] = scale * sum of e q[r], with w = exp(scale q . k - log[r]), e = w (dy . v - dot[r]).
//
// Declared by the launcher: T, HEADS, KV_HEADS, SIZE (a multiple of 4, at most 128), FIRST, SPAN: column c is seen by
// the rows c + FIRST .. c + FIRST + SPAN - 1 that do not start behind it; query_at(p), key_at(p), value_at(p),
// slope_at(p): four values at 4 p; log_at(p), dot_at(p), start_at(b, r), put_key(p, four values), put_value(p, same).
// stream_queries turned round: 8 x 8 threads make 32 columns of one key head, and walk the rows that see them, of each
// query head that shares it, 32 at a time. A column is written by one workgroup alone: no additions in memory, and the
// same order of sums in every run. A later stream's diagonal is a SPAN of 1.

const VECTORS = SIZE / 4u;
const SCALE = inverseSqrt(f32(SIZE));
const SHARED = HEADS / KV_HEADS;
/// w and e of four columns, by row and column group.
var<workgroup> weight: array<vec4f, 256>;
var<workgroup> slope: array<vec4f, 256>;

/// One vector of each of four columns.
struct Columns {
  x: vec4f,
  y: vec4f,
  z: vec4f,
  w: vec4f,
}

fn add(s: Columns, w: vec4f, v: vec4f) -> Columns {
  return Columns(fma(vec4f(w.x), v, s.x), fma(vec4f(w.y), v, s.y), fma(vec4f(w.z), v, s.z), fma(vec4f(w.w), v, s.w));
}

fn four(a: Columns, b: vec4f) -> vec4f {
  return vec4f(dot(a.x, b), dot(a.y, b), dot(a.z, b), dot(a.w, b));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let x = lane % 8u;
  let y = lane / 8u;
  let b = group.z;
  let first = group.x * 32u;
  let column = vec4u(0u, 1u, 2u, 3u) + first + y * 4u;
  let kv = (b * KV_HEADS + group.y) * T;
  let k = (kv + min(column, vec4u(T - 1u))) * VECTORS;
  let end = min(T, first + 31u + FIRST + SPAN);

  var k0: Columns;
  var k1: Columns;
  var k2: Columns;
  var k3: Columns;
  var v0: Columns;
  var v1: Columns;
  var v2: Columns;
  var v3: Columns;
  for (var shared_by = 0u; shared_by < SHARED; shared_by++) {
    let h = group.y * SHARED + shared_by;
    let head = (b * HEADS + h) * T;
    for (var r0 = first + FIRST; r0 < end; r0 += 32u) {
      let r = vec4u(0u, 1u, 2u, 3u) + r0 + x * 4u;
      let known = min(r, vec4u(T - 1u));
      let q = (head + known) * VECTORS;
      let dy = ((b * T + known) * HEADS + h) * VECTORS;
      var a0 = vec4f(); // scores of four columns with each of four rows
      var a1 = vec4f();
      var a2 = vec4f();
      var a3 = vec4f();
      var e0 = vec4f(); // products of values and dy
      var e1 = vec4f();
      var e2 = vec4f();
      var e3 = vec4f();
      // Rows of examples that begin behind these columns do not see them.
      let any = start_at(b, min(r0, T - 1u)) <= first + 31u;
      if (any) {
        for (var i = 0u; i < VECTORS; i++) {
          let keys = Columns(key_at(k.x + i), key_at(k.y + i), key_at(k.z + i), key_at(k.w + i));
          a0 += four(keys, query_at(q.x + i));
          a1 += four(keys, query_at(q.y + i));
          a2 += four(keys, query_at(q.z + i));
          a3 += four(keys, query_at(q.w + i));
          let values = Columns(value_at(k.x + i), value_at(k.y + i), value_at(k.z + i), value_at(k.w + i));
          e0 += four(values, slope_at(dy.x + i));
          e1 += four(values, slope_at(dy.y + i));
          e2 += four(values, slope_at(dy.z + i));
          e3 += four(values, slope_at(dy.w + i));
        }
      }
      workgroupBarrier(); // the tile before has been read
      keep(x * 4u, y, b, r.x, head, column, a0, e0);
      keep(x * 4u + 1u, y, b, r.y, head, column, a1, e1);
      keep(x * 4u + 2u, y, b, r.z, head, column, a2, e2);
      keep(x * 4u + 3u, y, b, r.w, head, column, a3, e3);
      workgroupBarrier();
      let count = select(0u, min(32u, T - r0), any);
      for (var j = 0u; j < count; j++) {
        let w = weight[j * 8u + y];
        let e = slope[j * 8u + y];
        let qx = (head + r0 + j) * VECTORS + x;
        let dx = ((b * T + r0 + j) * HEADS + h) * VECTORS + x;
        if (x < VECTORS) {
          k0 = add(k0, e, query_at(qx));
          v0 = add(v0, w, slope_at(dx));
        }
        if (x + 8u < VECTORS) {
          k1 = add(k1, e, query_at(qx + 8u));
          v1 = add(v1, w, slope_at(dx + 8u));
        }
        if (x + 16u < VECTORS) {
          k2 = add(k2, e, query_at(qx + 16u));
          v2 = add(v2, w, slope_at(dx + 16u));
        }
        if (x + 24u < VECTORS) {
          k3 = add(k3, e, query_at(qx + 24u));
          v3 = add(v3, w, slope_at(dx + 24u));
        }
      }
    }
  }

  let at = (kv + column) * VECTORS + x;
  write(column, at, x, k0, v0);
  write(column, at + 8u, x + 8u, k1, v1);
  write(column, at + 16u, x + 16u, k2, v2);
  write(column, at + 24u, x + 24u, k3, v3);
}

/// Weights and slopes of one row with four columns, for all threads of their group.
fn keep(j: u32, y: u32, b: u32, r: u32, head: u32, column: vec4u, score: vec4f, product: vec4f) {
  let row = min(r, T - 1u);
  let sees = vec4<bool>(r < T) & (column + FIRST <= vec4u(r)) & (vec4u(r) < column + FIRST + SPAN) &
    (column >= vec4u(start_at(b, row)));
  let w = select(vec4f(), exp(score * SCALE - log_at(head + row)), sees);
  weight[j * 8u + y] = w;
  slope[j * 8u + y] = w * (product - dot_at(head + row));
}

fn write(column: vec4u, at: vec4u, vector: u32, k: Columns, v: Columns) {
  if (vector >= VECTORS) {
    return;
  }
  if (column.x < T) {
    put_key(at.x, k.x * SCALE);
    put_value(at.x, v.x);
  }
  if (column.y < T) {
    put_key(at.y, k.y * SCALE);
    put_value(at.y, v.y);
  }
  if (column.z < T) {
    put_key(at.z, k.z * SCALE);
    put_value(at.z, v.z);
  }
  if (column.w < T) {
    put_key(at.w, k.w * SCALE);
    put_value(at.w, v.w);
  }
}
