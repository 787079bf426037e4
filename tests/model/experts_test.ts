/** A mixture of experts against hand sums: the chosen ones, weighted by the softmax of their scores. */
import { referenceBackend } from "../../lib/backend/reference.ts";
import { input, mul } from "../../lib/graph/ops.ts";
import { program } from "../../lib/graph/program.ts";
import { mixExperts } from "../../lib/model/experts.ts";
import { assertClose } from "../tolerance.ts";

Deno.test("two of three experts are added by their shares", async () => {
  const backend = referenceBackend(), x = input("x", [2, 2]), scores = input("scores", [2, 3]);
  const y = mixExperts(scores, { chosen: 2, expert: (e) => mul(x, 10 ** e) });
  using run = await backend.compile(program({ y }));
  const out = await run.run({
    x: backend.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]),
    scores: backend.tensor(Float32Array.of(0, 1, 3, 2, -1, 2), [2, 3]),
  });
  // Row 0: experts 2 and 1; row 1: experts 0 and 2, at equal scores.
  const share = 1 / (1 + Math.exp(-2)), first = share * 100 + (1 - share) * 10, second = 0.5 * 101;
  assertClose(out.y.exact, [first, 2 * first, 3 * second, 4 * second], {
    ...{ what: "the mixture", shape: [2, 2], a: 1e-4 },
  });
});
