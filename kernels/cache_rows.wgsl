// New cache rows, in place: keys (rotated) and values of T new tokens go to rows length .. length + T of the caches.
//
// Declared by the launcher: BATCH, T, HEADS, KV_HEADS, CAPACITY, SIZE (of a head); qkv(b, t, j), length_at(b),
// angle_cos(b, t, i), angle_sin(b, t, i), put_key(position, v), put_value(position, v).
// One element a thread. Rotation pairs (i, i + SIZE / 2), as LLaMA in the form of Hugging Face. Rows beyond the
// capacity are dropped.

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + thread;
  if (at >= BATCH * KV_HEADS * T * SIZE) {
    return;
  }
  let i = at % SIZE;
  let t = at / SIZE % T;
  let h = at / SIZE / T % KV_HEADS;
  let b = at / SIZE / T / KV_HEADS;
  let row = u32(max(length_at(b), 0i)) + t;
  if (row >= CAPACITY) {
    return;
  }
  let place = ((b * KV_HEADS + h) * CAPACITY + row) * SIZE + i;
  let key = (HEADS + h) * SIZE;
  let pair = i % (SIZE / 2u);
  let x = qkv(b, t, key + pair);
  let y = qkv(b, t, key + pair + SIZE / 2u);
  let c = angle_cos(b, t, pair);
  let s = angle_sin(b, t, pair);
  put_key(place, select(y * c + x * s, x * c - y * s, i < SIZE / 2u));
  put_value(place, qkv(b, t, (HEADS + KV_HEADS + h) * SIZE + i));
}
