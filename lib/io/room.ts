/** Memory that a reader of tensors is given for values, so that a large one is not there twice. */

/** What was given, or new memory. @throws when it has another size. */
export function roomFor(
  name: string,
  { size, into, path }: { size: number; into?: Float32Array; path: string },
): Float32Array {
  if (into === undefined) return new Float32Array(size);
  if (into.length === size) return into;
  throw new Error(`Cannot read ${name} of ${path}: room for ${into.length} values, wanted ${size}`);
}

/** Values that are there already, moved into what was given. @throws as {@link roomFor} does. */
export function moveInto(
  values: Float32Array,
  { name, into, path }: { name: string; into?: Float32Array; path: string },
): Float32Array {
  if (into === undefined) return values;
  roomFor(name, { size: values.length, into, path }).set(values);
  return into;
}
