/**
 * The settings: read from and shown in their form, kept between visits, and the fields of a request made of them.
 * Fields that hold nothing usable are left to the server's defaults.
 */
import { at } from "./elements.js";

const NUMBERS = ["temperature", "top_p", "top_k", "max_tokens", "seed"],
  SHAPE = ["budget", "depth", "width"];

export class Controls {
  #form = at("settings");
  #conversations;
  #defaults = {
    mode: "speculative",
    system: "",
    growth: "auto",
    budget: 24,
    depth: 6,
    width: 4,
    seed: "",
  };

  constructor(conversations) {
    this.#conversations = conversations;
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", () => this.#changed());
    at("mode").addEventListener("change", () => this.#changed());
    at("defaults").addEventListener("click", () => {
      this.#show(this.#defaults);
      this.#changed();
    });
  }

  /** Takes the server's defaults; what was kept stands over them. */
  setDefaults({ sampling, maxTokens, tree }) {
    const { temperature, topP, topK } = sampling;
    const given = { temperature, top_p: topP, top_k: topK, max_tokens: maxTokens };
    Object.assign(this.#defaults, given);
    const numbers = tree.split("/").map(Number);
    if (tree !== "auto") {
      Object.assign(this.#defaults, { growth: "fixed" });
      SHAPE.forEach((name, i) => this.#defaults[name] = numbers[i]);
    }
    this.#show({ ...this.#defaults, ...this.#conversations.settings });
  }

  /** Shows what was kept, as after a change in another tab. */
  reload() {
    this.#show({ ...this.#defaults, ...this.#conversations.settings });
  }

  #show(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.#form.elements[name];
      if (field !== undefined) field.value = value;
    }
    for (const radio of document.querySelectorAll("input[name=mode]")) {
      radio.checked = radio.value === values.mode;
    }
    at("shape").disabled = values.growth !== "fixed";
  }

  #changed() {
    const values = this.#values();
    at("shape").disabled = values.growth !== "fixed";
    this.#conversations.settings = values;
  }

  #values() {
    const names = [...NUMBERS, ...SHAPE, "growth", "system"];
    const values = Object.fromEntries(names.map((name) => [name, this.#form.elements[name].value]));
    return { ...values, mode: this.mode };
  }

  get mode() {
    return document.querySelector("input[name=mode]:checked")?.value ?? "speculative";
  }

  /** Fields of a request. */
  get request() {
    const values = this.#values(), request = { mode: values.mode };
    for (const name of NUMBERS) {
      if (values[name] !== "" && this.#form.elements[name].validity.valid) {
        request[name] = Number(values[name]);
      }
    }
    const isShape = SHAPE.every((name) =>
      values[name] !== "" && this.#form.elements[name].validity.valid
    );
    if (values.growth === "auto") request.tree = "auto";
    else if (isShape) request.tree = SHAPE.map((name) => values[name]).join("/");
    return request;
  }

  /** The system prompt; empty: none. */
  get system() {
    return this.#form.elements.system.value.trim();
  }
}
