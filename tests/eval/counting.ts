/** A backend that counts what it compiles, to see that nothing is while results are made. Not a test itself. */
import type { Backend } from "../../lib/backend/backend.ts";

export function countingBackend(backend: Backend): { counting: Backend; compiled: () => number } {
  let compiled = 0;
  const counting: Backend = {
    ...backend,
    compile: (program, options) => {
      compiled++;
      return backend.compile(program, options);
    },
  };
  return { counting, compiled: () => compiled };
}
