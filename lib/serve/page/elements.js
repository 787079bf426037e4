/**
 * Making elements. Texts go in as text nodes and nothing ever goes in as markup, so what a model writes cannot become
 * any; the server's policy forbids it besides. Used by all other files of the page.
 */

/** The element with an id. */
export const at = (id) => document.getElementById(id);

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(
    ...children.filter((child) => child !== undefined).map((c) =>
      c instanceof Node ? c : String(c)
    ),
  );
  return made;
}

/** An HTML element; attributes named `on...` are listeners, children are nodes or texts. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function drawn(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Offers a text as a file. */
export function saveFile(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
