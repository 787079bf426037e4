/**
 * Conversations and settings kept in the browser, a key each, so that two tabs do not overwrite one another's; a tab
 * hears of what others change. Trees are not kept: they are large. When the browser's room is used up, the numbers of
 * old answers go first, then the oldest conversations. It draws nothing and is tested without a page.
 */

const PREFIX = "griffin-lab.chat.", SETTINGS = "griffin-lab.settings";

/** What of a message is kept: no rows, no texts of trees. */
function kept(message) {
  if (message.sides === undefined) return message;
  const sides = Object.fromEntries(
    Object.entries(message.sides).map((
      [name, { pieces, ms, reason, sums }],
    ) => [name, { pieces, ms, reason, sums }]),
  );
  return { ...message, sides };
}

/** A message as it comes out of storage. */
function revived(message) {
  for (const side of Object.values(message.sides ?? {})) {
    Object.assign(side, { rows: [], texts: {} });
  }
  return message;
}

/** Without the pieces, of which the text is enough. */
function plainText(message) {
  if (message.sides === undefined) return message;
  const sides = Object.values(message.sides), { sides: _, ...rest } = message;
  return { ...rest, content: (sides.at(-1)?.pieces ?? []).map(([text]) => text).join("") };
}

export class Conversations {
  #storage;

  /** @param storage as localStorage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** Ids, titles and times of all, the newest first. */
  list() {
    const found = [];
    for (let i = 0; i < this.#storage.length; i++) {
      const key = this.#storage.key(i);
      if (!key.startsWith(PREFIX)) continue;
      const one = this.#read(key);
      if (one !== undefined) found.push({ id: one.id, title: one.title, changed: one.changed });
    }
    return found.sort((a, b) => b.changed - a.changed);
  }

  #read(key) {
    try {
      const one = JSON.parse(this.#storage.getItem(key));
      const isRight = typeof one.id === "string" && typeof one.title === "string" &&
        Array.isArray(one.messages);
      return isRight ? one : undefined;
    } catch {
      return undefined; // somebody else's, or broken: left alone
    }
  }

  /** A conversation; undefined when it is gone. */
  get(id) {
    const one = this.#read(PREFIX + id);
    one?.messages.forEach(revived);
    return one;
  }

  /** A new one, not yet kept. */
  make() {
    // Not by randomUUID, which only secure addresses have.
    const id = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("");
    return { id, title: "New chat", changed: Date.now(), messages: [] };
  }

  /** Keeps it; false when there is no room even after giving up older ones. */
  put(conversation) {
    const changed = Date.now(), messages = conversation.messages.map(kept);
    const key = PREFIX + conversation.id;
    const attempt = (value) => {
      try {
        this.#storage.setItem(key, JSON.stringify(value));
        return true;
      } catch {
        return false;
      }
    };
    conversation.changed = changed;
    const whole = { ...conversation, messages };
    if (attempt(whole)) return true;
    for (const { id } of this.list().reverse()) {
      const old = this.#read(PREFIX + id);
      if (id === conversation.id || old === undefined) continue;
      this.#storage.setItem(
        PREFIX + id,
        JSON.stringify({ ...old, messages: old.messages.map(plainText) }),
      );
      if (attempt(whole)) return true;
    }
    const bare = { ...whole, messages: messages.map(plainText) };
    if (attempt(bare)) return true;
    for (const { id } of this.list().reverse()) {
      if (id === conversation.id) continue;
      this.remove(id);
      if (attempt(bare)) return true;
    }
    return false;
  }

  remove(id) {
    this.#storage.removeItem(PREFIX + id);
  }

  /** The id that a key of the storage belongs to. */
  idOf(key) {
    return key?.startsWith(PREFIX) ? key.slice(PREFIX.length) : undefined;
  }

  get settings() {
    try {
      return JSON.parse(this.#storage.getItem(SETTINGS)) ?? {};
    } catch {
      return {};
    }
  }

  set settings(value) {
    try {
      this.#storage.setItem(SETTINGS, JSON.stringify(value));
    } catch {
      // no room: they last until the page is left
    }
  }
}

/** A title from the first question. */
export function titleFrom(question) {
  const line = question.trim().split("\n")[0], characters = Array.from(line);
  return characters.length > 40 ? `${characters.slice(0, 39).join("")}…` : line || "New chat";
}
