// AdamW, in place: m = B1 m + (1 - B1) g, v = B2 v + (1 - B2) g^2, p -= rate * (m / c1 / (sqrt(v / c2) + EPSILON) + DECAY p).
//
// Declared by the launcher: COUNT, BETA1, BETA2, EPSILON, DECAY, CLIP (0: none); gradient(i), schedule_at(j) = rate,
// c1 = 1 - B1^t, c2 = 1 - B2^t; p_get, p_put, m_get, m_put, v_get, v_put.
// Every state is read once and written once where it lies; the gradient may be an elementwise chain.

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.y * groups.x + group.x) * 256u + thread;
  if (i >= COUNT) {
    return;
  }
  var g = gradient(i);
  if (CLIP > 0.0f) {
    g = clamp(g, -CLIP, CLIP);
  }
  let m = m_get(i) * BETA1 + g * (1.0f - BETA1);
  let v = v_get(i) * BETA2 + g * g * (1.0f - BETA2);
  let size = sqrt(v / schedule_at(2u)) + EPSILON;
  let p = p_get(i);
  m_put(i, m);
  v_put(i, v);
  p_put(i, p - ((m / schedule_at(1u)) / size + p * DECAY) * schedule_at(0u));
}
