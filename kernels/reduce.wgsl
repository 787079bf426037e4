// Reduce: y[o] = SCALE * fold over r of value(o, r), with `combine` as the fold.
//
// Declared by the launcher: COUNT outputs, LENGTH elements each, LANES threads an output (a power of two that
// divides 64), START, SCALE; value(o, r), combine(a, b), put(o, v).
// LANES = 1 where neighbouring outputs are neighbours in memory (a sum over rows), 64 where the elements of one
// output are (a sum along a row). The order of additions depends on LANES and LENGTH alone: equal runs are equal
// to the bit.

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let o = (group.y * groups.x + group.x) * (64u / LANES) + thread / LANES;
  let lane = thread % LANES;
  var total: f32 = START;
  if (o < COUNT) {
    for (var r = lane; r < LENGTH; r += LANES) {
      total = combine(total, value(o, r));
    }
  }
  if (LANES > 1u) {
    partial[thread] = total;
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
      workgroupBarrier();
      if (lane < step) {
        partial[thread] = combine(partial[thread], partial[thread + step]);
      }
    }
    total = partial[thread];
  }
  if (o < COUNT && lane == 0u) {
    put(o, total * SCALE);
  }
}
