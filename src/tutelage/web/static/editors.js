// Editors for answers: strings found in the text, a picker for labels, a search among check boxes, a count of characters.
// What they change is the plain field that the form sends, so that all of it works without them too.
"use strict";

const LETTER = "[\\p{L}\\p{N}_]";
const ALIKE = { "'": "['‘’]", "‘": "['‘’]", "’": "['‘’]", '"': '["“”]', "“": '["“”]', "”": '["“”]', "-": "[-–—]", "–": "[-–—]", "—": "[-–—]" };
const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** Where `name` stands in `text` as whole words, as the server finds it: in the exact spelling, else in a like one. */
function occurrences(text, name) {
  const words = name.split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const loose = (word) => [...word].map((one) => ALIKE[one] ?? literal(one)).join("");
  for (const [form, flags] of [[literal, "gu"], [loose, "giu"]]) {
    const pattern = new RegExp(`(?<!${LETTER})${words.map(form).join("\\s+")}(?!${LETTER})`, flags);
    const found = [...text.matchAll(pattern)].map((one) => [one.index, one.index + one[0].length]);
    if (found.length) return found;
  }
  return [];
}

/** Pieces of `text`: [piece, the string found there or null]; where strings overlap, the longer one is shown. */
function pieces(text, names) {
  const spans = names.flatMap((name) => occurrences(text, name).map(([start, end]) => ({ start, end, name })));
  const kept = [];
  for (const one of spans.sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start)) {
    if (kept.every((other) => one.end <= other.start || one.start >= other.end)) kept.push(one);
  }
  const cut = [];
  let at = 0;
  for (const { start, end, name } of kept.sort((a, b) => a.start - b.start)) {
    cut.push([text.slice(at, start), null], [text.slice(start, end), name]);
    at = end;
  }
  return [...cut, [text.slice(at), null]].filter(([piece]) => piece);
}

function element(name, attributes, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function changed(field) {
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Strings: chips that are removed by a click, and the text in which they are marked, where selecting adds one. */
function stringsEditor(field) {
  const editor = document.getElementById("editor"), chips = document.getElementById("chips"), add = document.getElementById("add");
  const texts = [...document.querySelectorAll(".desk .text[data-field]")];
  const grounded = field.hasAttribute("data-grounded");
  const names = () => field.value.split("\n").map((one) => one.trim()).filter(Boolean);
  const put = (list) => { field.value = list.join("\n"); changed(field); };
  const remove = (name) => put(names().filter((one) => one !== name));
  function selected() {
    const range = getSelection().rangeCount ? getSelection().getRangeAt(0) : null;
    const home = range && !range.collapsed && texts.find((one) => one.contains(range.startContainer) && one.contains(range.endContainer));
    if (!home) return "";
    const before = range.cloneRange();
    before.selectNodeContents(home);
    before.setEnd(range.startContainer, range.startOffset);
    const text = home.textContent, letter = new RegExp(LETTER, "u");
    let start = before.toString().length, end = start + range.toString().length;
    while (start < end && /\s/.test(text[start])) start += 1;
    while (end > start && /\s/.test(text[end - 1])) end -= 1;
    if (start === end) return "";
    while (start > 0 && letter.test(text[start]) && letter.test(text[start - 1])) start -= 1;
    while (end < text.length && letter.test(text[end - 1]) && letter.test(text[end])) end += 1;
    return text.slice(start, end).split(/\s+/).join(" ");
  }
  function draw() {
    const list = names(), open = editor.open;
    chips.replaceChildren(...list.map((name) => {
      const there = !grounded || texts.some((one) => occurrences(one.textContent, name).length);
      const label = there ? `Remove ${name}` : `Remove ${name}, which is not in the text`;
      const chip = element("button", { type: "button", class: there ? "chip" : "chip missing", "aria-label": label }, `${name} ×`);
      chip.addEventListener("click", () => { remove(name); chips.querySelector("button")?.focus(); });
      return chip;
    }));
    for (const text of grounded ? texts : []) {
      text.replaceChildren(...pieces(text.textContent, list).map(([piece, name]) => {
        if (name === null) return document.createTextNode(piece);
        const mark = element("mark", open ? { role: "button", tabindex: "0", "aria-label": `${piece}: remove` } : {}, piece);
        mark.dataset.found = name;
        return mark;
      }));
    }
  }
  for (const text of texts) {
    const pressed = (event) => {
      const mark = event.target.closest("mark[role=button]");
      const meant = event.type === "click" ? getSelection().isCollapsed : ["Enter", " ", "Delete", "Backspace"].includes(event.key);
      if (mark && meant) { event.preventDefault(); event.stopPropagation(); remove(mark.dataset.found); }
    };
    text.addEventListener("click", pressed);
    text.addEventListener("keydown", pressed);
  }
  add.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the selection
  add.addEventListener("click", () => {
    const name = selected();
    if (name && !names().includes(name)) put([...names(), name]);
    getSelection().removeAllRanges();
  });
  document.onselectionchange = () => { add.disabled = !(editor.open && selected()); };
  editor.addEventListener("toggle", draw);
  field.addEventListener("input", draw);
  draw();
}

/** A label: a list below the field that narrows down while one types. */
function labelPicker(field) {
  const labels = [...document.getElementById("labels").options].map((one) => one.value);
  const plain = (text) => text.toLowerCase().replace(/[_\W]+/g, " ").trim();
  const list = element("ul", { id: "picker", class: "picker", role: "listbox", "aria-label": "Labels" });
  field.removeAttribute("list");
  for (const [key, value] of [["role", "combobox"], ["aria-controls", "picker"], ["aria-expanded", "true"], ["aria-autocomplete", "list"]]) field.setAttribute(key, value);
  field.after(list);
  let found = [], at = -1;
  function draw() {
    const words = labels.includes(field.value) ? [] : plain(field.value).split(" ").filter(Boolean);
    const fits = labels.filter((one) => words.every((word) => plain(one).includes(word)));
    const first = fits.filter((one) => plain(one).startsWith(plain(field.value)));
    found = words.length ? [...first, ...fits.filter((one) => !first.includes(one))] : labels;
    at = words.length ? (found.length ? 0 : -1) : found.indexOf(field.value);
    list.replaceChildren(...found.map((one, place) => element("li", { role: "option", id: `label-${place}` }, one)));
    if (!found.length) list.append(element("li", { role: "option", "aria-disabled": "true" }, "No label is like this."));
    active(at);
  }
  function active(place) {
    at = place;
    [...list.children].forEach((one, other) => one.setAttribute("aria-selected", String(other === at)));
    if (at < 0) { field.removeAttribute("aria-activedescendant"); return; }
    field.setAttribute("aria-activedescendant", `label-${at}`);
    const one = list.children[at]; // by hand: scrollIntoView would move the page too
    list.scrollTop = Math.min(Math.max(list.scrollTop, one.offsetTop + one.offsetHeight - list.offsetTop - list.clientHeight), one.offsetTop - list.offsetTop);
  }
  const choose = (label) => { field.value = label; changed(field); };
  field.addEventListener("input", draw);
  field.addEventListener("focus", () => field.select());
  field.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) {
      if (event.key === "Enter" && !labels.includes(field.value) && at >= 0 && plain(field.value)) choose(found[at]);
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (found.length) active((at + (event.key === "ArrowDown" ? 1 : found.length - 1) + (at < 0 && event.key === "ArrowUp" ? 1 : 0)) % found.length);
    } else if (event.key === "Enter" && at >= 0 && found[at] !== field.value) {
      event.preventDefault();
      choose(found[at]);
    }
  });
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const place = [...list.children].indexOf(event.target);
    if (found[place] !== undefined) { choose(found[place]); field.focus(); }
  });
  draw();
  document.getElementById("editor").addEventListener("toggle", draw);
}

function labelFilter(field) {
  const choices = [...document.querySelectorAll("#editor .choice")];
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const one of choices) one.hidden = !words.every((word) => one.textContent.toLowerCase().includes(word));
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const first = choices.find((one) => !one.hidden)?.querySelector("input");
    if (first) { first.checked = !first.checked; changed(first); field.value = ""; field.dispatchEvent(new Event("input")); }
  });
}

function characterCount(field) {
  const count = document.getElementById("count"), limit = Number(field.dataset.limit ?? 0);
  const draw = () => {
    const n = [...field.value.trim()].length, over = limit > 0 && n > limit;
    count.textContent = `${n}${limit ? ` of ${limit}` : ""} characters${over ? `, ${n - limit} too many` : ""}`;
    count.classList.toggle("over", over);
  };
  field.addEventListener("input", draw);
  draw();
}

function beginEditor() {
  document.onselectionchange = null;
  for (const [selector, begin] of [["[data-strings]", stringsEditor], ["[data-picker]", labelPicker], ["[data-filter]", labelFilter], ["[data-count]", characterCount]]) {
    const field = document.querySelector(selector);
    if (field) begin(field);
  }
}
