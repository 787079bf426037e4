/**
 * The chat page: what is asked goes to the server, what comes back into the conversation, the numbers and the tree.
 * This file ties the others together and keeps which conversation is open. Read `answer.js` next: what an answer is.
 */
import { contentOf, markdown, newSide, sidesOf, takeEvent, traceText } from "./answer.js";
import { fetchInfo, fetchReply } from "./client.js";
import { Controls } from "./controls.js";
import { Conversations, titleFrom } from "./conversations.js";
import { at, element, saveFile } from "./elements.js";
import { hideTip, showMessages } from "./messages.js";
import { showNumbers } from "./numbers.js";
import { Rounds } from "./rounds.js";

const conversations = new Conversations(localStorage), controls = new Controls(conversations);
const rounds = new Rounds();
let open = conversations.make(), views = [];
/** The answer that is coming, if one is. */
let running;

/** The newest answer's side to show numbers and trees of. */
function shownSide() {
  const last = open.messages.findLast((m) => m.role === "assistant");
  return last === undefined ? undefined : sidesOf(last).at(-1)?.[1];
}

function tell(text) {
  at("status").textContent = text;
}

/** Something to be read, above the question; empty takes it away. */
function warn(text = "") {
  at("banner").textContent = text;
  at("banner").hidden = text === "";
}

function keep() {
  if (open.messages.length === 0) return;
  if (!conversations.put(open)) {
    warn("The browser has no room left: this conversation is not kept.");
  }
}

function showList() {
  const items = conversations.list().map(({ id, title }) => {
    const isOpen = id === open.id;
    const choose = () => {
      openConversation(conversations.get(id) ?? conversations.make());
      closePanels();
    };
    const remove = () => {
      conversations.remove(id);
      if (isOpen) openConversation(conversations.make());
      else showList();
    };
    return element(
      "li",
      { class: isOpen ? "open" : "" },
      element("button", {
        class: "title",
        onclick: choose,
        "aria-current": isOpen ? "true" : undefined,
      }, title),
      element("button", { class: "remove", onclick: remove, "aria-label": `delete ${title}` }, "×"),
    );
  });
  at("list").replaceChildren(...items);
}

function showButtons() {
  const isRunning = running !== undefined, has = open.messages.length > 0;
  at("stop").hidden = !isRunning;
  at("send").hidden = isRunning;
  at("regenerate").disabled = isRunning || !open.messages.some((m) => m.role === "user");
  at("clear").disabled = !has;
  at("copy").disabled = !has;
  at("trace").disabled = traceText(open.messages) === "";
}

const handlers = { onPick: (side, round) => rounds.goTo(side, round) };

function openConversation(conversation) {
  if (running !== undefined && running.conversation.id !== conversation.id) {
    stop();
    running = undefined;
  }
  open = running?.conversation ?? conversation;
  views = showMessages(at("log"), open.messages, handlers);
  at("log").scrollTop = at("log").scrollHeight;
  rounds.show(shownSide());
  showNumbers(at("numbers"), shownSide());
  warn();
  showList();
  showButtons();
}

/** Draws what has come, once a frame. */
function drawSoon(answer) {
  if (answer.drawing) return;
  answer.drawing = true;
  // Frames do not come while the page is hidden.
  const soon = document.hidden ? (draw) => setTimeout(draw, 250) : requestAnimationFrame;
  soon(() => {
    answer.drawing = false;
    if (open !== answer.conversation) return;
    const log = at("log"), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    views.at(-1)?.update();
    if (atEnd) log.scrollTop = log.scrollHeight;
    showNumbers(at("numbers"), shownSide());
    rounds.update();
  });
}

function take(answer, event) {
  const { message } = answer;
  if (event.type === "place") {
    tell(event.place === 0 ? "Starting …" : `In the line: ${event.place} before you`);
  } else if (event.type === "begin") {
    tell("Answering …");
    message.settings = event;
  } else {
    message.sides ??= {};
    const side = message.sides[event.side] ??= newSide();
    takeEvent(side, event);
    const now = performance.now();
    // What has come survives a reload.
    if (now - answer.kept > 2000) {
      answer.kept = now;
      keep();
    }
  }
  if (message.sides !== undefined && answer.shown !== Object.keys(message.sides).length) {
    answer.shown = Object.keys(message.sides).length;
    if (open === answer.conversation) rounds.show(shownSide());
  }
  drawSoon(answer);
}

/** Asks for an answer to the open conversation and shows it. */
async function answer() {
  const message = { role: "assistant", content: "" },
    conversation = open,
    abort = new AbortController();
  const { system } = controls, asked = conversation.messages.filter((m) => m.role !== "system");
  const turns = asked.map((m) => ({ role: m.role, content: contentOf(m) }));
  const messages = system === "" ? turns : [{ role: "system", content: system }, ...turns];
  const request = { ...controls.request, trace: true, messages };
  conversation.messages.push(message);
  const own = running = {
    message,
    conversation,
    abort,
    drawing: false,
    kept: performance.now(),
    shown: 0,
  };
  openConversation(conversation);
  at("log").setAttribute("aria-busy", "true");
  tell("Asking …");
  let failure;
  try {
    for await (const event of fetchReply(request, abort)) take(own, event);
  } catch (cause) {
    failure = cause;
  }
  for (const [, side] of sidesOf(message)) {
    side.reason ??= failure === undefined ? "stopped" : "broken";
  }
  if (failure !== undefined) message.note = failure.message;
  else if (message.sides === undefined) message.note = "Stopped before it began.";
  message.content = contentOf(message);
  // An answer that is nothing is no turn of the conversation.
  if (message.content === "" && message.sides === undefined) conversation.messages.pop();
  if (running === own) running = undefined;
  if (conversations.get(conversation.id) !== undefined) keepAs(conversation);
  if (running === undefined) at("log").removeAttribute("aria-busy");
  if (open === conversation) {
    openAgain();
    tell(failure === undefined ? (abort.signal.aborted ? "Stopped" : "Done") : "Failed");
    if (failure !== undefined) warn(failure.message);
  }
  if (failure?.status === 0) waitForServer();
}

function keepAs(conversation) {
  if (!conversations.put(conversation)) {
    warn("The browser has no room left: this conversation is not kept.");
  }
}

/** Shows the open conversation's end anew, without moving it. */
function openAgain() {
  const top = at("log").scrollTop;
  views = showMessages(at("log"), open.messages, handlers);
  at("log").scrollTop = top;
  rounds.update();
  showNumbers(at("numbers"), shownSide());
  showList();
  showButtons();
}

function send() {
  const text = at("ask").value.trim();
  if (text === "" || running !== undefined) return;
  at("ask").value = "";
  fitQuestion();
  if (open.messages.length === 0) open.title = titleFrom(text);
  open.messages.push({ role: "user", content: text });
  keep();
  void answer();
}

function regenerate() {
  if (running !== undefined) return;
  const last = open.messages.findLastIndex((m) => m.role === "user");
  if (last < 0) return;
  open.messages.length = last + 1;
  void answer();
}

function stop() {
  running?.abort.abort();
}

function fitQuestion() {
  const ask = at("ask");
  ask.style.height = "auto";
  ask.style.height = `${Math.min(ask.scrollHeight + 2, innerHeight / 3)}px`;
}

/** Asks the server for its model until it answers. */
async function waitForServer() {
  for (let pause = 500;; pause = Math.min(2 * pause, 8000)) {
    try {
      const info = await fetchInfo(), { layers, width, vocabulary } = info.target;
      at("model").textContent = info.name;
      at("model").title = `${layers} layers, width ${width}, ${vocabulary} tokens`;
      controls.setDefaults(info.defaults);
      document.documentElement.dataset.server = info.instance;
      if (running === undefined) tell("Ready");
      warn();
      return;
    } catch (cause) {
      tell("Waiting for the server");
      warn(`${cause.message} Waiting for it.`);
      await new Promise((go) => setTimeout(go, pause));
    }
  }
}

function closePanels() {
  for (const id of ["list-panel", "panel"]) togglePanel(id, false);
}

function togglePanel(id, isOpen = !at(id).classList.contains("shown")) {
  at(id).classList.toggle("shown", isOpen);
  document.querySelector(`[aria-controls="${id}"]`).setAttribute("aria-expanded", String(isOpen));
}

function setTheme(theme) {
  at("theme").value = theme;
  if (theme === "") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
at("ask").addEventListener("input", fitQuestion);
at("ask").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
at("stop").addEventListener("click", stop);
at("regenerate").addEventListener("click", regenerate);
function startNew() {
  openConversation(conversations.make());
  closePanels();
  at("ask").focus();
}
at("new").addEventListener("click", startNew);
at("clear").addEventListener("click", () => {
  conversations.remove(open.id);
  openConversation(conversations.make());
});
at("copy").addEventListener("click", async () => {
  const text = markdown(open);
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied");
  } catch {
    saveFile("chat.md", text, "text/markdown"); // no clipboard without a secure address
  }
});
at("trace").addEventListener(
  "click",
  () => saveFile("chat.jsonl", traceText(open.messages), "application/jsonl"),
);
at("open-list").addEventListener("click", () => togglePanel("list-panel"));
at("open-panel").addEventListener("click", () => togglePanel("panel"));
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => togglePanel(button.dataset.close, false));
}
at("theme").addEventListener("change", () => {
  setTheme(at("theme").value);
  localStorage.setItem("griffin-lab.theme", at("theme").value);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    hideTip();
    stop();
    closePanels();
  } else if (event.altKey && event.code === "KeyN") startNew();
  else if (event.altKey && event.code === "KeyR") regenerate();
  else return;
  event.preventDefault();
});
addEventListener("storage", ({ key }) => {
  if (key === "griffin-lab.settings") controls.reload();
  const id = conversations.idOf(key);
  if (id === undefined && key !== null) return;
  // The other tab's version, unless this one is being written here.
  if (id === open.id && running === undefined) {
    const other = conversations.get(id);
    if (other !== undefined) openConversation(other);
  }
  showList();
});

setTheme(localStorage.getItem("griffin-lab.theme") ?? "");
const [newest] = conversations.list();
openConversation((newest && conversations.get(newest.id)) ?? conversations.make());
void waitForServer();
at("ask").focus();
