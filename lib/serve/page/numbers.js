/**
 * The numbers of an answer: tokens a second, tau, where the time went, acceptance by depth. They are those of the side
 * that is shown, computed in `answer.js`; this draws them.
 */
import { tau, tokensPerSecond } from "./answer.js";
import { element } from "./elements.js";

const digits = (x, n) => Number.isFinite(x) ? x.toFixed(n) : "–";

function figure(name, value, note) {
  return element(
    "div",
    {},
    element("dt", {}, name),
    element("dd", {}, value, note === undefined ? undefined : element("small", {}, ` ${note}`)),
  );
}

/** A bar of parts side by side, each [class, share]. */
function bar(parts) {
  const made = element("div", { class: "bar", "aria-hidden": true });
  for (const [name, share] of parts) {
    const part = element("span", { class: name });
    part.style.width = `${(100 * share).toFixed(2)}%`;
    made.append(part);
  }
  return made;
}

function timeSplit({ prefillMs, draftMs, verifyMs, hostMs, rounds }) {
  const total = draftMs + verifyMs + hostMs, each = (ms) => digits(ms / rounds, 1);
  if (rounds === 0) return undefined;
  const parts = [["draft", draftMs], ["verify", verifyMs], ["host", hostMs]];
  return element(
    "div",
    { class: "split" },
    element("h3", {}, "Time a round"),
    bar(parts.map(([name, ms]) => [name, ms / total])),
    element(
      "p",
      { class: "soft key" },
      ...parts.map(([name, ms]) => element("span", { class: name }, `${name} ${each(ms)} ms`)),
      element("span", {}, `prompt ${digits(prefillMs, 0)} ms`),
    ),
  );
}

function acceptance({ depths }) {
  if (depths.length === 0) return undefined;
  const rows = depths.filter(({ reached }) => reached > 0).map(({ reached, accepted }, i) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, i + 1),
      element("td", {}, bar([["verify", accepted / reached]])),
      element("td", { class: "n" }, digits(accepted / reached, 2)),
      element("td", { class: "n soft" }, `${accepted}/${reached}`),
    )
  );
  return element(
    "div",
    { class: "depths" },
    element("h3", {}, "Accepted by depth"),
    element("table", {}, element("tbody", {}, ...rows)),
  );
}

/** Shows the numbers of a side; of none: that there are none. */
export function showNumbers(place, side) {
  if (side === undefined) {
    place.replaceChildren(element("p", { class: "soft" }, "Numbers appear with the first answer."));
    return;
  }
  const { sums, ms } = side, { tokens, rounds, drafted, accepted, emitted } = sums;
  const list = element(
    "dl",
    { class: "figures" },
    figure("tokens/s", digits(tokensPerSecond(sums), 0)),
    figure("tau", digits(tau(sums), 2), `${emitted}/${rounds}`),
    figure("tokens", tokens),
    figure("seconds", digits(ms / 1000, 2)),
    figure("drafted", drafted),
    figure(
      "accepted",
      accepted,
      drafted > 0 ? `${digits(100 * accepted / drafted, 0)} %` : undefined,
    ),
  );
  list.querySelectorAll("dt")[1].title = "tokens a target forward: the compression ratio";
  place.replaceChildren(
    ...[list, timeSplit(sums), acceptance(sums)].filter((part) => part !== undefined),
  );
}
