// Rotary positions: y[r, i] = x[r, i] c - x[r, i + HALF] s, y[r, i + HALF] = x[r, i + HALF] c + x[r, i] s, with
// c = cos[r, i] and s = sin[r, i].
//
// Declared by the launcher: ROWS, HALF (a multiple of 4); x_four(r, i), cos_four(r, i), sin_four(r, i): four values
// from i on; put(p, v): four values at 4 p.
// Four pairs a thread, both halves of them at once: as an expression every element would read its partner and both
// tables again. Heads are split out of projected rows by x_four, so that no transposed copy is made before.

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + thread;
  if (at >= ROWS * (HALF / 4u)) {
    return;
  }
  let r = at / (HALF / 4u);
  let i = at % (HALF / 4u) * 4u;
  let x = x_four(r, i);
  let y = x_four(r, i + HALF);
  let c = cos_four(r, i);
  let s = sin_four(r, i);
  let p = r * (HALF / 2u) + i / 4u;
  put(p, x * c - y * s);
  put(p + HALF / 4u, y * c + x * s);
}
