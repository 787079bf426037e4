/**
 * One item ahead: while the consumer works on one, the next is being loaded. It knows nothing of batches; the
 * training loop gives it plans and `fillBatch`.
 */

/**
 * Yields every item with what `load` made of it, in order; the next load begins before an item is handed out.
 * When the consumer stops, the load in work is waited for, so that nothing runs on behind it.
 * @throws what `load` throws, when its item's turn comes.
 */
export async function* prefetch<Item, Loaded>(
  items: Iterable<Item>,
  load: (item: Item) => Promise<Loaded>,
): AsyncGenerator<{ item: Item; loaded: Loaded }> {
  const list = [...items];
  let next = list.length > 0 ? load(list[0]) : undefined;
  try {
    for (const [i, item] of list.entries()) {
      const loaded = await next!;
      next = i + 1 < list.length ? load(list[i + 1]) : undefined;
      next?.catch(() => {}); // thrown when its turn comes
      yield { item, loaded };
    }
  } finally {
    await next?.catch(() => {}); // nobody wants it any more
  }
}
