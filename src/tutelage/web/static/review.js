// Reviewing by keyboard, and decisions that outlive the server: each is sent until the server has it, which stores it once.
// Without this script the page's forms do the same, less comfortably.
"use strict";

const PENDING = "tutelage-decision"; // what was decided and is not known to be stored
const RETRY = 700;
let sending = false;

const find = (selector) => document.querySelector(selector);
const draftOf = (path) => `tutelage-draft:${path}`;

function problem(text) {
  const place = find("#problem");
  place.textContent = text;
  place.hidden = !text;
  if (text) place.scrollIntoView({ block: "nearest" });
}

function show(text, address) {
  const next = new DOMParser().parseFromString(text, "text/html");
  find("main").replaceWith(document.adoptNode(next.querySelector("main")));
  document.title = next.title;
  if (address !== location.href) history.pushState(null, "", address);
  find("main").focus({ preventScroll: true });
  scrollTo(0, 0);
  begin();
  const said = find("#undo .soft")?.textContent ?? "", numbers = find(".numbers span")?.textContent ?? "";
  find("#live").textContent = `${said}. ${numbers}`;
}

async function send(action, body) {
  if (sending) return;
  sending = true;
  find("main").setAttribute("aria-busy", "true");
  sessionStorage.setItem(PENDING, JSON.stringify([action, body]));
  for (;;) {
    try {
      const answer = await fetch(action, {
        method: "POST", body, headers: { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" },
      });
      const text = await answer.text();
      if (answer.status < 500) {
        sending = false;
        sessionStorage.removeItem(PENDING);
        if (answer.headers.get("content-type")?.startsWith("application/json")) refused(JSON.parse(text), answer.status);
        else { sessionStorage.removeItem(draftOf(action)); show(text, answer.url); }
        return;
      }
    } catch { /* the server is gone: it is asked again below */ }
    problem("The server does not answer. Your decision is kept here and sent again until it does.");
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}

function refused(answer, status) {
  find("main").removeAttribute("aria-busy");
  problem(answer.error);
  if (answer.anyway) find("#decision").elements.anyway.value = "1";
  if (status === 409 || status === 401) {
    const link = element("a", { href: status === 401 ? `/name?next=${encodeURIComponent(location.pathname)}` : location.href }, status === 401 ? "Say who you are" : "Load the page again");
    find("#problem").append(" ", link, " (what you typed is kept).");
  }
}

function submitted(event) {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  if (sending) return;
  const fields = new URLSearchParams(new FormData(form));
  if (event.submitter?.name) fields.set(event.submitter.name, event.submitter.value);
  send(form.getAttribute("action") ?? location.pathname, fields.toString());
}

// What is typed outlives a reload of the page.
function keepDraft() {
  const form = find("#decision");
  if (!form) return;
  const fields = [...new FormData(form)].filter(([name]) => /^(value|tag$|note$)/.test(name));
  sessionStorage.setItem(draftOf(location.pathname), JSON.stringify(fields));
}

function restoreDraft() {
  const form = find("#decision"), kept = form && sessionStorage.getItem(draftOf(location.pathname));
  if (!kept) return;
  const fields = JSON.parse(kept);
  let other = false;
  for (const field of form.elements) {
    if (!/^(value|tag$|note$)/.test(field.name)) continue;
    const values = fields.filter(([name]) => name === field.name).map(([, value]) => value);
    if (field.type === "checkbox") {
      const checked = values.includes(field.value);
      other ||= field.name !== "tag" && checked !== field.checked;
      field.checked = checked;
    } else if (values.length) {
      other ||= field.name !== "note" && values[0] !== field.value;
      field.value = values[0];
      field.dispatchEvent(new Event("input"));
    }
  }
  if (other) find("#editor").open = true;
  if (form.elements.note.value) find("#notes").open = true;
}

const press = (selector) => () => find(selector)?.click();

function edit() {
  const editor = find("#editor");
  if (!editor) return;
  editor.open = true;
  (editor.querySelector("textarea[data-count], input:not([type=checkbox]), select, textarea") ?? editor).focus();
  editor.scrollIntoView({ block: "nearest" });
}

function note() {
  find("#notes").open = true;
  find("#note").focus();
}

const rows = () => [...document.querySelectorAll("#bulk tbody tr")];
const current = () => rows().find((one) => one.classList.contains("current"));

function turn(by, focus = true) {
  const all = rows(), at = Math.min(Math.max(all.indexOf(current()) + by, 0), all.length - 1);
  all.forEach((one, place) => one.classList.toggle("current", place === at));
  if (!focus) return;
  all[at]?.querySelector("a.button").focus({ preventScroll: true });
  all[at]?.scrollIntoView({ block: "nearest" });
}

function check() {
  const box = current()?.querySelector("input[type=checkbox]:enabled");
  if (box) box.checked = !box.checked;
}

const KEYS = {
  a: press(".panel button[aria-keyshortcuts=a]"), b: press(".panel button[aria-keyshortcuts=b]"), r: press("button[value=reject]"),
  s: press("button[value=skip]"), u: press("#undo button"), e: edit, n: note, "?": () => find("#help").showModal(),
};
const ROW_KEYS = {
  ArrowDown: () => turn(1), ArrowUp: () => turn(-1), j: () => turn(1), k: () => turn(-1), x: check, c: press("button[value=checked]"), u: KEYS.u,
  a: () => current()?.querySelector("button[name=accept]")?.click(), e: () => current()?.querySelector("a.button").click(),
};

function pressed(event) {
  const typing = event.target.closest("textarea, select, input:not([type=checkbox]):not([type=radio])");
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && find("#editor")?.open) {
    event.preventDefault();
    find("#save").click();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || find("dialog[open]")) return;
  if (typing) {
    if (event.key === "Escape") { typing.blur(); find("main").focus({ preventScroll: true }); }
    return;
  }
  let act = (find("#bulk") ? ROW_KEYS : find("#decision") ? KEYS : { u: KEYS.u })[event.key];
  if (find("#decision") && /^[1-9]$/.test(event.key)) act = () => document.querySelectorAll(".tags input")[Number(event.key) - 1]?.click();
  if (event.key === "Enter" && find("#add:enabled")) act = press("#add");
  if (!act) return;
  event.preventDefault();
  if (!sending) act();
}

function begin() {
  beginEditor();
  restoreDraft();
  find("#decision")?.addEventListener("input", keepDraft);
  find("#keys")?.addEventListener("click", KEYS["?"]);
  for (const one of document.querySelectorAll(".order select")) one.addEventListener("change", () => one.form.requestSubmit());
  if (find("#bulk")) turn(1, false);
}

document.documentElement.classList.add("js");
document.addEventListener("submit", submitted);
document.addEventListener("keydown", pressed);
addEventListener("popstate", () => location.reload());
addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });
begin();
const pending = sessionStorage.getItem(PENDING);
if (pending) send(...JSON.parse(pending));
