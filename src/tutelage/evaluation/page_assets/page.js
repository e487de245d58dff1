"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const PER_PAGE = 10;
const state = { page: 0 };
const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const dark = matchMedia("(prefers-color-scheme: dark)");

// The charts take the page's colours, so that they are no white cards on a dark page.
function chartConfig() {
  const colours = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => colours.getPropertyValue(name).trim());
  const text = { labelColor: soft, titleColor: soft, labelFont: "system-ui, sans-serif", titleFont: "system-ui, sans-serif" };
  return { background: "transparent", axis: { ...text, gridColor: line, domainColor: soft, tickColor: soft },
    legend: { ...text, labelColor: ink }, text: { fill: ink, font: "system-ui, sans-serif" } };
}

function drawCharts() {
  for (const [name, chart] of Object.entries(data.charts)) {
    const place = byId("chart-" + name);
    const fitted = { ...chart, width: Math.min(chart.width, place.clientWidth) };
    const options = { ast: true, actions: false, renderer: "svg", config: chartConfig(),
      tooltip: { theme: dark.matches ? "dark" : "light" } };
    vegaEmbed(place, fitted, options).catch((error) => {
      place.textContent = "The chart could not be drawn: " + error;
    });
  }
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.sort;
    const rows = [...table.tBodies[0].rows];
    const numbers = rows.every((row) => !Number.isNaN(Number(key(row))));
    const value = (row) => (numbers ? Number(key(row)) : key(row));
    // What is unknown stands last in either order.
    const order = (a, b) => (key(a) === "") - (key(b) === "")
      || (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (down ? -1 : 1);
    table.tBodies[0].append(...rows.sort(order));
  }));
}

const key = (answer) => (answer.error ? "error" : JSON.stringify(answer.value));

function matches(example) {
  const which = byId("candidate").value;
  const answers = which === "" ? example.answers : [example.answers[Number(which)]];
  const wrong = (answer) => answer.score < 1;
  switch (byId("show").value) {
    case "wrong": if (!answers.some(wrong)) return false; break;
    case "all-wrong": if (!example.answers.every(wrong)) return false; break;
    case "disagree": if (new Set(example.answers.map(key)).size < 2) return false; break;
    case "failed": if (!answers.some((answer) => answer.error)) return false; break;
  }
  const words = byId("search").value.toLowerCase();
  return words === "" || example.search.includes(words);
}

// Each mark is [text, verdict, field]: a record's fields get a line each, a free text is shown as it is.
function chips(place, marks) {
  if (marks.length === 0) place.append(element("span", "soft", "(none)"));
  let line = place, before = "";
  for (const [text, kind, field] of marks) {
    if (field !== before) {
      const row = element("div", "field");
      line = element("div");
      row.append(element("div", "soft", field), line);
      place.append(row);
      before = field;
    }
    const chip = element("span", kind === "text" ? "text" : "chip " + kind, text);
    if (kind === "missing" || kind === "wrong") chip.title = kind;
    line.append(chip);
  }
}

function answerCell(answer) {
  const cell = element("dd");
  if (answer.error) cell.append(element("span", "error", "failed: " + answer.error));
  else chips(cell, answer.shown);
  if (answer.score > 0 && answer.score < 1) cell.append(element("span", "soft", " score " + answer.score.toFixed(2)));
  if (answer.confidence !== null) cell.append(element("span", "soft", " confidence " + answer.confidence.toFixed(2)));
  if (answer.note) cell.append(element("span", "soft", " (" + answer.note + ")"));
  return cell;
}

function article(example) {
  const box = element("article");
  for (const [field, text] of Object.entries(example.input)) {
    if (Object.keys(example.input).length > 1) box.append(element("p", "soft", field));
    const shown = element("div", "text", text);
    shown.tabIndex = 0;
    box.append(shown);
  }
  const list = element("dl");
  list.append(element("dt", "", "gold"));
  const gold = element("dd");
  chips(gold, example.gold);
  list.append(gold);
  example.answers.forEach((answer, at) => list.append(element("dt", "", data.names[at]), answerCell(answer)));
  box.append(list, element("p", "soft", example.id));
  return box;
}

let found = [];

function turn(page) {
  const last = Math.max(0, Math.ceil(found.length / PER_PAGE) - 1);
  state.page = Math.min(Math.max(0, page), last);
  const from = state.page * PER_PAGE;
  byId("answers").replaceChildren(...found.slice(from, from + PER_PAGE).map(article));
  const range = found.length ? `${from + 1} to ${Math.min(found.length, from + PER_PAGE)} of ` : "";
  byId("count").textContent = `${range}${found.length} examples`;
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page === last;
}

function filter() {
  found = data.examples.filter(matches);
  turn(0);
}

for (const example of data.examples) {
  const parts = [...Object.values(example.input), ...example.gold.map((mark) => mark[0]), ...example.answers.map(key)];
  example.search = parts.join("\n").toLowerCase();
}
for (const id of ["candidate", "show"]) byId(id).addEventListener("change", filter);
byId("search").addEventListener("input", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("previous").addEventListener("click", () => turn(state.page - 1));
byId("next").addEventListener("click", () => turn(state.page + 1));
document.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n" || event.key === "ArrowRight") turn(state.page + 1);
  else if (event.key === "p" || event.key === "ArrowLeft") turn(state.page - 1);
});
sortable(byId("table"));
filter();
drawCharts();
dark.addEventListener("change", drawCharts);
