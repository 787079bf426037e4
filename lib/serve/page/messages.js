/**
 * The conversation on the page: messages, the tokens of answers with their colours, the clocks of each side, and what
 * is told when a token is pointed at or walked to. Tokens are added as they come; nothing is drawn twice. What a piece
 * holds: `answer.js`.
 */
import { sidesOf, tau, textOf, tokensPerSecond } from "./answer.js";
import { at, element } from "./elements.js";

const NAMES = { user: "You", assistant: "Model", system: "System" };
const SIDES = { plain: "without speculation", speculative: "with speculation" };

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const digits = (x, n) => Number.isFinite(x) ? x.toFixed(n) : "–";

const ENDS = {
  "length limit": "cut at the most tokens allowed",
  positions: "the model knows no further positions",
  abort: "stopped",
  stopped: "stopped",
};

/** One side of an answer. */
class SideView {
  constructor(name, side, { onPick }) {
    this.side = side;
    this.shown = 0;
    this.clock = element("output", { class: "clock" });
    this.rate = element("span", { class: "soft" });
    this.end = element("p", { class: "soft end", hidden: true });
    this.text = element("div", {
      class: "text",
      tabindex: 0,
      role: "group",
      "aria-label": `answer ${SIDES[name]}, token by token with the arrow keys`,
    });
    this.element = element(
      "section",
      { class: `side ${name}` },
      element("header", {}, element("span", { class: "name" }, SIDES[name]), this.clock, this.rate),
      this.text,
      this.end,
    );
    this.here = -1;
    const pick = (event) => {
      const index = event.target.closest?.(".t")?.dataset.i;
      if (index !== undefined) onPick(side, side.pieces[index][5]);
    };
    this.text.addEventListener("click", pick);
    this.text.addEventListener("keydown", (event) => this.#walk(event, onPick));
    this.text.addEventListener("blur", () => this.#stand(-1));
    this.text.addEventListener("pointerover", (event) => {
      const token = event.target.closest?.(".t");
      if (token !== null) showTip(token, side.pieces[token.dataset.i]);
    });
    this.text.addEventListener("pointerout", hideTip);
  }

  /** Shows what has come since. */
  update() {
    const { side, text } = this, { pieces, ms, sums, reason } = side;
    if (this.shown > 0 && reason !== null) this.#refreshLast();
    const more = document.createDocumentFragment();
    for (; this.shown < pieces.length; this.shown++) {
      const [piece, kind] = pieces[this.shown];
      if (piece === "") continue; // a special token, or bytes of a character to come
      more.append(element("span", { class: `t ${kind}`, "data-i": this.shown }, piece));
    }
    text.append(more);
    this.clock.textContent = seconds(ms);
    const rate = tokensPerSecond(sums), length = tau(sums);
    this.rate.textContent =
      `${sums.tokens} ${sums.tokens === 1 ? "token" : "tokens"}, ${digits(rate, 0)} tokens/s` +
      (sums.drafted > 0 ? `, tau ${digits(length, 2)}` : "");
    this.end.hidden = ENDS[reason] === undefined;
    this.end.textContent = ENDS[reason] ?? "";
  }

  #refreshLast() {
    const last = this.text.lastElementChild;
    if (last !== null) last.textContent = this.side.pieces[last.dataset.i][0];
  }

  #tokens() {
    return this.text.querySelectorAll(".t");
  }

  #walk(event, onPick) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], tokens = this.#tokens();
    if (event.altKey || event.ctrlKey || event.metaKey || tokens.length === 0) return;
    if (step !== undefined) {
      this.#stand(Math.min(Math.max(this.here + step, 0), tokens.length - 1));
    } else if (event.key === "Enter" && this.here >= 0) {
      onPick(this.side, this.side.pieces[tokens[this.here].dataset.i][5]);
    } else return;
    event.preventDefault();
  }

  #stand(index) {
    const tokens = this.#tokens();
    tokens[this.here]?.classList.remove("here");
    this.here = index;
    const token = tokens[index];
    if (token === undefined) return hideTip();
    token.classList.add("here");
    token.scrollIntoView({ block: "nearest" });
    showTip(token, this.side.pieces[token.dataset.i]);
  }
}

/** What is told of a piece. */
export function tellPiece([, kind, depth, draft, target, round]) {
  if (kind === "p" && round === 0) return "first token: from the prompt's forward";
  const said = target === null ? "" : `, target ${target.toFixed(3)}`;
  if (kind === "p") return `round ${round}: the target's own, nothing was drafted${said}`;
  if (kind === "x") return `round ${round}, depth ${depth}: the target's own${said}`;
  const odds = draft === null ? "" : `, draft ${draft.toFixed(3)}`;
  return `round ${round}, depth ${depth}: drafted and accepted${odds}${said}`;
}

function showTip(token, piece) {
  const tip = at("tip"), box = token.getClientRects()[0] ?? token.getBoundingClientRect();
  tip.textContent = tellPiece(piece);
  tip.hidden = false;
  const wide = tip.offsetWidth, high = tip.offsetHeight;
  const left = Math.min(Math.max(8, box.left), innerWidth - wide - 8);
  const above = box.top - high - 6;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 0 ? above : box.bottom + 6}px`;
}

export function hideTip() {
  at("tip").hidden = true;
}

/** Which side was how much faster, once both have ended. */
function verdict(message) {
  const { plain, speculative } = message.sides ?? {};
  if (plain?.reason == null || speculative?.reason == null) return undefined;
  if (plain.sums.tokens < 2 || speculative.sums.tokens < 2) return undefined;
  const faster = tokensPerSecond(speculative.sums) / tokensPerSecond(plain.sums);
  const same = textOf(plain) === textOf(speculative);
  return `${faster.toFixed(2)} times the tokens a second with speculation; ` +
    (same ? "the same text" : "another text");
}

/** One message. */
export class MessageView {
  constructor(message, handlers) {
    this.message = message;
    this.handlers = handlers;
    this.views = new Map();
    this.sides = element("div", { class: "sides" });
    this.note = element("p", { class: "soft note", hidden: true });
    this.element = element(
      "article",
      { class: `message ${message.role}` },
      element("h3", {}, NAMES[message.role]),
      this.sides,
      this.note,
    );
    this.update();
  }

  update() {
    const { message, sides } = this, found = sidesOf(message);
    if (found.length === 0 && this.views.size === 0) {
      if (message.content) {
        sides.replaceChildren(element("div", { class: "text" }, message.content));
      }
    }
    for (const [name, side] of found) {
      if (this.views.has(name)) continue;
      if (this.views.size === 0) sides.replaceChildren();
      const view = new SideView(name, side, this.handlers);
      this.views.set(name, view);
      sides.append(view.element);
    }
    sides.classList.toggle("two", found.length > 1);
    for (const view of this.views.values()) view.update();
    const note = message.note ?? verdict(message);
    this.note.hidden = note === undefined;
    this.note.textContent = note ?? "";
  }
}

/** All messages of a conversation; returns their views. */
export function showMessages(log, messages, handlers) {
  hideTip();
  const views = messages.map((message) => new MessageView(message, handlers));
  if (views.length > 0) log.replaceChildren(...views.map((view) => view.element));
  else {
    log.replaceChildren(element(
      "div",
      { class: "empty" },
      element("p", {}, "Ask something and watch the answer being drafted and checked."),
      element(
        "p",
        { class: "soft" },
        element("span", { class: "t a" }, "Coloured tokens"),
        " were proposed by the draft and accepted by the target; the others the target wrote itself. " +
          "Point at one for its depth and probability.",
      ),
    ));
  }
  return views;
}
