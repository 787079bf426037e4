/**
 * What the page of a trace does in a browser: one function over the few parts of a window that it uses, so that
 * it is checked and tested here and then written into the page as text. It draws nothing but what it is given:
 * trees by `tree_drawing.ts`. The page around it: `trace_page.ts`.
 */
import type { RoundTrace } from "./events.ts";
import { escapeHtml } from "./page.ts";
import { drawTree, visibleText } from "./tree_drawing.ts";

/** What the page holds as JSON. */
export interface ViewerData {
  /** Text of every token that occurs, by id. */
  texts: Record<number, string>;
  generations: ViewerGeneration[];
}

export interface ViewerGeneration {
  id: string;
  category: string;
  prompt: string;
  /** Text that each emitted token adds; joined they are the whole text. */
  pieces: string[];
  end: string;
  rounds: ViewerRound[];
}

export interface ViewerRound {
  tokens: number[];
  drafted: number;
  depth: number;
  accepted: number;
  draftMs: number;
  verifyMs: number;
  hostMs: number;
  trace?: RoundTrace;
}

/** The parts of an element, an event and a window that are used. */
export interface ViewerElement {
  innerHTML: string;
  textContent: string | null;
  value: string;
  max: string;
  hidden: boolean;
  disabled: boolean;
  style: { width: string };
  addEventListener(type: string, listener: (event: ViewerEvent) => void): void;
}

export interface ViewerEvent {
  key?: string;
  altKey?: boolean;
  ctrlKey?: boolean;
  metaKey?: boolean;
  target: { closest(selector: string): { getAttribute(name: string): string | null } | null };
  preventDefault(): void;
}

export interface ViewerWindow {
  document: {
    getElementById(id: string): ViewerElement | null;
    addEventListener(type: string, listener: (event: ViewerEvent) => void): void;
  };
  location: { hash: string };
  history: { replaceState(data: null, unused: string, url: string): void };
  addEventListener(type: string, listener: () => void): void;
}

/** Text to read, as HTML: blanks are blanks, line breaks break, emoji join; every other control is a sign. */
export function readable(text: string): string {
  return text.split(/([ \n\t\u200c\u200d])/).map((part) =>
    part === "\n"
      ? '<span class="sign">↵</span>\n'
      : /^[ \t\u200c\u200d]$/.test(part)
      ? part
      : escapeHtml(visibleText(part))
  ).join("");
}

/** The text up to round `now`: accepted tokens marked, extra tokens bare, those of this round framed. */
export function textSoFar({ pieces, rounds }: ViewerGeneration, now: number): string {
  let at = 1, html = `<span class="extra">${readable(pieces[0] ?? "")}</span>`;
  for (let r = 0; r < now; r++) {
    const { tokens, accepted } = rounds[r];
    html += `<span class="${r === now - 1 ? "now" : "before"}" data-round="${r + 1}">`;
    for (let i = 0; i < tokens.length; i++, at++) {
      html += `<span class="${i < accepted ? "accepted" : "extra"}">${readable(pieces[at])}</span>`;
    }
    html += "</span>";
  }
  return html;
}

/** A bar a round, as high as what it emitted: accepted tokens below, the extra one on top. */
export function roundStrip(rounds: readonly ViewerRound[], now: number): string {
  const most = Math.max(1, ...rounds.map((r) => r.tokens.length));
  // Few rounds: slim bars in wide places.
  const wide = Math.min(0.76, Math.max(0.12, rounds.length / 32)), from = (1 - wide) / 2;
  const bars = rounds.map(({ tokens, accepted }, r) => {
    const kept = Math.min(tokens.length, accepted), here = r === now - 1;
    return `<g data-round="${r + 1}"><title>round ${r + 1}: ${kept} accepted, ${
      tokens.length - kept
    } extra</title>` +
      `<rect class="${here ? "here" : "clear"}" x="${r + 0.6 * from}" y="0" width="${
        1 - 1.2 * from
      }" height="${most}"/>` +
      `<rect class="kept" x="${r + from}" y="${most - kept}" width="${wide}" height="${kept}"/>` +
      `<rect class="more" x="${r + from}" y="${most - tokens.length}" width="${wide}" height="${
        tokens.length - kept
      }"/></g>`;
  }).join("");
  return `<svg viewBox="0 0 ${rounds.length} ${most}" preserveAspectRatio="none" aria-hidden="true">${bars}</svg>`;
}

/** The numbers of round `now`: pairs of a name and HTML. */
export function roundNumbers(rounds: readonly ViewerRound[], now: number): [string, string][] {
  const { tokens, drafted, depth, accepted, draftMs, verifyMs, hostMs } = rounds[now - 1];
  const emitted = rounds.slice(0, now).reduce((n, r) => n + r.tokens.length, 0);
  const total = draftMs + verifyMs + hostMs, parts = [draftMs, verifyMs, hostMs];
  let x = 0;
  const bars = parts.map((ms, i) => {
    const from = x, wide = total > 0 ? 100 * ms / total : 0;
    x += wide;
    return `<rect class="part${i}" x="${from.toFixed(2)}" y="0" width="${
      wide.toFixed(2)
    }" height="6"/>`;
  }).join("");
  const split =
    `<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">${bars}</svg>`;
  return [
    ["drafted", `${drafted}`],
    ["depth", `${depth}`],
    ["accepted", `${accepted}`],
    ["emitted", `${tokens.length}`],
    ["tau so far", `${(emitted / now).toFixed(2)} <small>${emitted}/${now}</small>`],
    [
      "ms: draft, verify, host",
      `${parts.map((ms) => ms.toFixed(1)).join(" <small>+</small> ")}${split}`,
    ],
  ];
}

/** Starts the page: shows a round, and another when asked. */
export function runViewer(window: ViewerWindow, { texts, generations }: ViewerData): void {
  const { document, location, history } = window;
  const at = (id: string) => document.getElementById(id)!;
  const text = (token: number) => texts[token] ?? "";
  let chosen = 0, now = 1;
  const show = () => {
    const generation = generations[chosen], { rounds } = generation, last = rounds.length;
    now = Math.min(Math.max(now, Math.min(1, last)), last);
    const round = rounds[now - 1];
    at("generation").value = `${chosen}`;
    at("where").textContent = last === 0 ? "no round" : `round ${now} of ${last}`;
    at("slider").max = `${last}`;
    at("slider").value = `${now}`;
    at("slider").disabled = last < 2;
    // The middle of its 1rem thumb travels from the first bar's middle to the last one's.
    at("slider").style.width = `calc(${100 - 100 / Math.max(1, last)}% + 1rem)`;
    at("first").disabled = at("previous").disabled = now <= 1;
    at("next").disabled = at("last").disabled = now >= last;
    at("strip").innerHTML = roundStrip(rounds, now);
    at("numbers").innerHTML = round === undefined
      ? ""
      : roundNumbers(rounds, now).map(([name, html]) =>
        `<div><dt>${name}</dt><dd>${html}</dd></div>`
      ).join("");
    at("tree").innerHTML = round?.trace === undefined
      ? '<p class="soft">No tree was recorded of this round.</p>'
      : drawTree(round.trace, { text, emitted: round.tokens });
    at("text").innerHTML = textSoFar(generation, now);
    at("end").textContent = now < last ? "" : `End: ${generation.end}.`;
    at("prompt").innerHTML = readable(generation.prompt);
    history.replaceState(null, "", `#${chosen + 1}.${now}`);
  };
  const go = (generation: number, round: number) => {
    if (generation < 0 || generation >= generations.length) return;
    [chosen, now] = [generation, round];
    show();
  };
  /** `#3.17`: generation 3, round 17. */
  const fromAddress = () => {
    const [, generation, round] = /^#(\d+)\.(\d+)$/.exec(location.hash) ?? ["", "1", "1"];
    go(Math.max(1, Math.min(Number(generation), generations.length)) - 1, Number(round));
  };
  const jump = (event: ViewerEvent) => {
    const round = event.target.closest("[data-round]")?.getAttribute("data-round");
    if (round) go(chosen, Number(round));
  };
  at("generation").innerHTML = generations.map(({ id, category }, i) =>
    `<option value="${i}">${i + 1}: ${readable(`${id} (${category})`)}</option>`
  ).join("");
  at("generation").addEventListener("change", () => go(Number(at("generation").value), 1));
  at("slider").addEventListener("input", () => go(chosen, Number(at("slider").value)));
  at("first").addEventListener("click", () => go(chosen, 1));
  at("previous").addEventListener("click", () => go(chosen, now - 1));
  at("next").addEventListener("click", () => go(chosen, now + 1));
  at("last").addEventListener("click", () => go(chosen, Infinity));
  at("strip").addEventListener("click", jump);
  at("text").addEventListener("click", jump);
  const keys: Record<string, () => void> = {
    ArrowLeft: () => go(chosen, now - 1),
    ArrowRight: () => go(chosen, now + 1),
    Home: () => go(chosen, 1),
    End: () => go(chosen, Infinity),
    n: () => go(chosen + 1, 1),
    p: () => go(chosen - 1, 1),
  };
  document.addEventListener("keydown", (event) => {
    const act = keys[event.key ?? ""];
    // Where arrows already mean something: the slider and the list move by themselves, the tree scrolls.
    if (act === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("select, input, #tree")) return;
    event.preventDefault();
    act();
  });
  window.addEventListener("hashchange", fromAddress);
  at("viewer").hidden = false;
  fromAddress();
}

/** The functions above as a script's text; it needs those of `tree_drawing.ts` before it. */
export const VIEWER_SOURCE: string = [readable, textSoFar, roundStrip, roundNumbers, runViewer].map(
  String,
)
  .join("\n");
