/**
 * Where requests meet the model: each takes its turn, hears its place while it waits, and gives the turn back however
 * it ends. Counts what came of them. Before it on the walk of a request: `server.ts`; after it: `reply.ts`.
 */
import { type ChatModel, reply, type ReplyEvent, type ReplyRequest } from "./reply.ts";
import { Turns } from "./turns.ts";

/** How many are before a request that waits. */
export interface PlaceEvent {
  place: number;
}

/** What became of requests so far. */
export interface DeskCounts {
  answered: number;
  stopped: number;
  failed: number;
  refused: number;
  tokens: number;
}

export class Desk {
  readonly model: ChatModel;
  readonly counts: DeskCounts = { answered: 0, stopped: 0, failed: 0, refused: 0, tokens: 0 };
  #turns: Turns;

  constructor(model: ChatModel, { waiting = 64 }: { waiting?: number } = {}) {
    this.model = model;
    this.#turns = new Turns({ most: waiting });
  }

  /** Requests that wait, and how many may. */
  get line(): { busy: boolean; waiting: number; most: number } {
    const { busy, waiting, most } = this.#turns;
    return { busy, waiting, most };
  }

  /**
   * Takes a place in the line at once and answers when its turn comes. The caller must run the events to their end or
   * return them: that is how the turn is given back.
   * @throws {@link import("./turns.ts").LineFull} when there is no place.
   */
  ask(request: ReplyRequest, { signal }: { signal: AbortSignal }): Answer {
    const turns = this.#turns, { counts, model } = this;
    let turn: ReturnType<Turns["enter"]>;
    try {
      turn = turns.enter();
    } catch (cause) {
      counts.refused++;
      throw cause;
    }
    // A client that goes away while it waits makes room at once, though nobody reads its events any more.
    const leave = () => turn.place > 0 && turn[Symbol.dispose]();
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    async function* events(): AsyncGenerator<PlaceEvent | ReplyEvent> {
      let outcome: "answered" | "stopped" | "failed" = "stopped";
      try {
        for await (const place of turn.places(signal)) if (place >= 0) yield { place };
        if (signal.aborted) return;
        for await (const event of reply(model, request, { signal })) {
          if (event.row.type !== "end") counts.tokens += event.row.tokens.length;
          else outcome = event.row.reason === "abort" ? "stopped" : "answered";
          yield event;
        }
      } catch (cause) {
        outcome = "failed";
        throw cause;
      } finally {
        counts[outcome]++;
        signal.removeEventListener("abort", leave);
        turn[Symbol.dispose]();
      }
    }
    return { events: events(), leave: () => turn[Symbol.dispose]() };
  }

  /** Lets no request in any more and turns away those that wait. */
  close(): void {
    this.#turns.close();
  }
}

/** A request in the line or being answered. */
export interface Answer {
  events: AsyncGenerator<PlaceEvent | ReplyEvent>;
  /** For a caller that never begins to read the events. */
  leave(): void;
}
