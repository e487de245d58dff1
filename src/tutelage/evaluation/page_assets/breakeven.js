"use strict";
// The arithmetic of breakeven.py, again: the page must work without it. A test holds the two together.
const data = JSON.parse(document.getElementById("data").textContent);
const inputs = [...document.querySelectorAll("#figures input")];
const tick = document.getElementById("always_on");
const found = new Map(inputs.map((input) => [input, input.value]));

function figures() {
  const named = {};
  for (const input of inputs) if (input.type === "number") named[input.dataset.name] = Math.max(0, Number(input.value) || 0);
  return named;
}

function perThousand(f, alwaysOn) {
  const teacher = Math.max(f.teacher_dollars - (f.cached_share - f.cached_share_measured) * f.cached_saving, 0);
  let student = f.student_dollars;
  if (!alwaysOn && f.student_seconds) student += (1000 * f.student_seconds * f.dollars_per_hour) / 3600 / f.occupancy;
  const asked = f.escalation + (1 - f.escalation) * f.audit_share;
  return { teacher, system: student + asked * teacher };
}

function once(f) {
  return f.labels_dollars + f.review_hours * f.review_dollars_per_hour + f.training_hours * f.dollars_per_hour + f.other_dollars;
}

function day(f, alwaysOn, requests) {
  const each = perThousand(f, alwaysOn);
  const machines = alwaysOn ? Math.max(1, Math.ceil((requests * f.student_seconds) / 86400 / f.occupancy)) : 0;
  const teacher = (requests * each.teacher) / 1000;
  const system = (requests * each.system) / 1000 + 24 * machines * f.dollars_per_hour;
  const saved = teacher - system;
  const days = saved > 0 ? once(f) / saved : once(f) === 0 && saved === 0 ? 0 : Infinity;
  return { requests, teacher, system, saved, machines, days };
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const tenth = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const daysText = (days) => (!isFinite(days) ? "never" : days < 1000 ? `${tenth.format(days)} days` : `${tenth.format(days / 365.25)} years`);
const until = (one) => (isFinite(one.days) ? whole.format(Math.ceil(one.days * one.requests)) : "never");

function table(days, alwaysOn) {
  const body = document.querySelector("#days tbody");
  body.replaceChildren(
    ...days.map((one) => {
      const row = document.createElement("tr");
      const money = [one.teacher, one.system, one.saved].map((dollars) => cents.format(dollars));
      const machines = alwaysOn ? String(one.machines) : "by the second";
      for (const text of [whole.format(one.requests), ...money, machines, daysText(one.days), until(one)]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    }),
  );
}

function headline(days, alwaysOn) {
  const paying = days.filter((one) => isFinite(one.days));
  if (!paying.length) return "It never pays.";
  if (!alwaysOn) return `It pays after ${until(paying[0])} requests.`;
  const first = paying.reduce((least, one) => (one.requests < least.requests ? one : least));
  return `From ${whole.format(first.requests)} requests a day on it pays: there after ${daysText(first.days)}.`;
}

function shape(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function chart(f, days) {
  const paying = days.filter((one) => isFinite(one.days));
  const one = paying[0] || days[days.length - 1];
  document.getElementById("rate").textContent = whole.format(one.requests);
  const before = once(f);
  const most = paying.length && one.days > 0 ? 2 * one.days * one.requests : 30 * one.requests;
  const ends = { teacher: (most * one.teacher) / one.requests, system: before + (most * one.system) / one.requests };
  const top = Math.max(ends.teacher, ends.system, 1e-9);
  const x = (requests) => 70 + (requests / most) * 550;
  const y = (dollars) => 240 - (dollars / top) * 220;
  const drawn = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    drawn.push(shape("line", { x1: 70, x2: 620, y1: y(share * top), y2: y(share * top), class: "axis" }));
    drawn.push(shape("text", { x: 64, y: y(share * top) + 4, "text-anchor": "end" }, `$${cents.format(share * top)}`));
    drawn.push(shape("text", { x: x(share * most), y: 260, "text-anchor": "middle" }, whole.format(share * most)));
  }
  drawn.push(shape("path", { d: `M${x(0)},${y(0)}L${x(most)},${y(ends.teacher)}`, class: "teacher" }));
  drawn.push(shape("path", { d: `M${x(0)},${y(before)}L${x(most)},${y(ends.system)}`, class: "system" }));
  document.getElementById("chart").replaceChildren(...drawn);
}

function show() {
  const f = figures();
  const days = data.requests.map((requests) => day(f, tick.checked, requests));
  table(days, tick.checked);
  chart(f, days);
  return days;
}

for (const input of inputs) {
  input.addEventListener("input", () => {
    for (const other of inputs) if (other !== input && other.dataset.name === input.dataset.name) other.value = input.value;
    document.getElementById("headline").textContent = headline(show(), tick.checked);
  });
}
tick.addEventListener("change", () => (document.getElementById("headline").textContent = headline(show(), tick.checked)));
document.getElementById("reset").addEventListener("click", () => {
  for (const [input, value] of found) input.value = value;
  tick.checked = data.always_on;
  document.getElementById("headline").textContent = headline(show(), tick.checked);
});
show(); // the headline as written also tells the interval
