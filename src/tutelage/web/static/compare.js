// Comparing answers by keyboard, and a choice that outlives the server: it is sent until the server has it. Without this script
// the page's forms do the same, less comfortably.
"use strict";

const KEPT = "tutelage-comparison"; // what was chosen and is not known to be stored; the server stores the same once
const RETRY = 700;
let since = performance.now();
let sending = false;

const find = (selector) => document.querySelector(selector);

function tell(message, isProblem) {
  const problem = find("#problem");
  problem.hidden = !isProblem;
  problem.textContent = isProblem ? message : "";
  find("#live").textContent = isProblem ? "" : message;
}

function show(text, address) {
  const main = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  find("main").replaceWith(document.adoptNode(main));
  history.replaceState(null, "", address);
  since = performance.now();
  main.focus({ preventScroll: true });
  tell(main.querySelector(".bar").textContent, false);
  begin();
  scrollTo(0, 0);
}

async function send(action, body) {
  if (sending) return;
  sending = true;
  sessionStorage.setItem(KEPT, JSON.stringify([action, body]));
  for (;;) {
    let answer;
    try {
      answer = await fetch(action, {
        method: "POST", body, headers: { "Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded" },
      });
      const text = await answer.text();
      if (answer.status < 500) {
        sending = false;
        sessionStorage.removeItem(KEPT);
        if (answer.ok) show(text, answer.url);
        else tell(JSON.parse(text).error, true);
        return;
      }
    } catch { /* the server is gone: it is asked again below */ }
    tell("The server does not answer. Your choice is kept and sent again until it does.", true);
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}

function submit(form, button) {
  if (form.elements.seconds) form.elements.seconds.value = ((performance.now() - since) / 1000).toFixed(1);
  const fields = new URLSearchParams(new FormData(form));
  if (button?.name) fields.set(button.name, button.value);
  send(form.getAttribute("action"), fields.toString());
}

async function open(address) {
  if (sending) return;
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error();
    show(await answer.text(), address);
  } catch {
    tell("The server does not answer. Start it again, then try once more.", true);
  }
}

function ranked() {
  return [...document.querySelectorAll(".ranking .answer")];
}

function frame(at) {
  const answers = ranked();
  answers.forEach((one, place) => one.classList.toggle("current", place === at));
  answers[at]?.scrollIntoView({ block: "nearest" });
}

function framed() {
  return ranked().findIndex((one) => one.classList.contains("current"));
}

function score(value) {
  const at = framed(), choice = ranked()[at]?.querySelector(`input[value="${value}"]`);
  if (!choice) return;
  choice.checked = true;
  tell(`Answer ${at + 1}: ${value}`, false);
  const open = ranked().findIndex((one) => !one.querySelector("input:checked"));
  frame(open < 0 ? at : open);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const form = find("#asked"), typing = event.target.closest("textarea, input:not([type=radio])");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  const choose = (value) => () => find(`#asked button[value="${value}"]`)?.click();
  const pair = { "1": choose("1"), ArrowLeft: choose("1"), "2": choose("2"), ArrowRight: choose("2"), "0": choose("tie"), t: choose("tie") };
  const back = () => frame(Math.max(framed() - 1, 0)), on = () => frame(Math.min(framed() + 1, ranked().length - 1));
  const many = { ArrowUp: back, ArrowLeft: back, ArrowDown: on, ArrowRight: on };
  const both = {
    s: () => find("#skip")?.click(),
    u: () => find("#undo button")?.click(),
    n: () => { find("#note").open = true; find("#note-text").focus(); },
  };
  const ranking = form?.classList.contains("ranking");
  let act = both[event.key.toLowerCase()] ?? (form ? (ranking ? many : pair)[event.key] : undefined);
  if (ranking && event.key >= "1" && event.key <= "7") act = () => score(event.key);
  if (ranking && event.key === "Enter" && !event.target.closest("a, button, summary")) act = () => form.requestSubmit();
  if (event.key.startsWith("Arrow") && event.target.closest("input[type=radio]")) return;
  if (!act || event.repeat) return;
  event.preventDefault();
  act();
}

function begin() {
  if (ranked().length) frame(0);
}

document.addEventListener("keydown", press);
document.addEventListener("submit", (event) => { event.preventDefault(); submit(event.target, event.submitter); });
document.addEventListener("click", (event) => {
  const skip = event.target.closest("#skip");
  if (skip && !event.ctrlKey && !event.metaKey) { event.preventDefault(); open(skip.getAttribute("href")); }
});
document.addEventListener("focusin", (event) => {
  const at = ranked().indexOf(event.target.closest(".answer"));
  if (at >= 0) frame(at);
});
begin();
const kept = sessionStorage.getItem(KEPT);
if (kept) send(...JSON.parse(kept));
