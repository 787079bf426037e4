/**
 * What the chat page is told: the model and its limits, and a reply event by event as it comes. The page's own client
 * is `page/client.js`; for other clients there is `openai.ts`.
 */
import { data } from "./event_stream.ts";
import type { PlaceEvent } from "./desk.ts";
import { TREE_LIMITS } from "./drafters.ts";
import { errorBody } from "./openai.ts";
import type { ChatModel, ReplyEvent, ReplyRequest } from "./reply.ts";
import { type Defaults, LIMITS } from "./requests.ts";

/** What the page shows before anything is asked. */
export function modelInfo({ name, folders, target }: ChatModel, defaults: Defaults) {
  const { layers, width, vocabulary, positions } = target.target.config;
  return {
    name,
    folders,
    target: { layers, width, vocabulary, positions },
    defaults,
    limits: { tree: TREE_LIMITS, messages: LIMITS.messages },
  };
}

/**
 * A reply as lines of server-sent events: `place` while it waits, `begin` with the settings as they were taken, one
 * event for each of `ReplyEvent`, `error` when it failed.
 */
export async function* pageLines(
  events: AsyncIterable<PlaceEvent | ReplyEvent>,
  { mode, seed, prompt, sampling, tree, maxTokens }: ReplyRequest,
): AsyncGenerator<string> {
  try {
    let begun = false;
    for await (const event of events) {
      if ("place" in event) {
        yield data({ type: "place", place: event.place });
        continue;
      }
      if (!begun) {
        const promptTokens = prompt.length;
        yield data({ type: "begin", mode, seed, promptTokens, sampling, tree, maxTokens });
        begun = true;
      }
      yield data({ type: "reply", ...event });
    }
  } catch (cause) {
    yield data({ type: "error", ...errorBody(cause) });
  }
}
