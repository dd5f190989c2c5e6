// Sorts and filters the table, and shows which slabs and which row belong together.
// Everything is read from the page itself, and text is only ever set as text.
"use strict";

const table = document.querySelector("table");
const body = table.tBodies[0];
const rows = Array.from(body.rows);
const nodes = Array.from(document.querySelectorAll(".net .node"));
const facts = document.getElementById("facts");
const rowOf = (node) => document.getElementById(node.getAttribute("href").slice(1));
const slabs = new Map(rows.map((row) => [row, []]));
for (const node of nodes) slabs.get(rowOf(node)).push(node);

for (const part of document.querySelectorAll(".scripted")) part.hidden = false;

// sorting

const values = {
  text: (words) => words.toLowerCase(),
  number: (words) => (/\d/.test(words) ? Number(words.replaceAll(",", "")) : NaN),
  shape: (words) => (/^[\dx]+$/.test(words) ? words.split("x").reduce((n, m) => n * m, 1) : NaN),
};

function order(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
}

function sort(head) {
  const falling = head.getAttribute("aria-sort") === "ascending";
  const value = values[head.dataset.sort];
  const keyed = rows.map((row) => [value(row.cells[head.cellIndex].textContent), row]);
  const isEmpty = ([key]) => key === "" || Number.isNaN(key);
  const known = keyed.filter((pair) => !isEmpty(pair));
  known.sort((a, b) => (falling ? order(b[0], a[0]) : order(a[0], b[0])));
  body.append(...known.concat(keyed.filter(isEmpty)).map((pair) => pair[1]));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
}

for (const head of table.tHead.rows[0].cells) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => sort(head));
}
table.tHead.rows[0].cells[0].setAttribute("aria-sort", "ascending");

// filtering

const filter = document.getElementById("filter");
const changed = document.getElementById("changed");
const count = document.getElementById("count");

function sift() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    row.hidden = !(fits && (!changed.checked || row.classList.contains("changed")));
    shown += !row.hidden;
  }
  count.textContent = `${shown} of ${rows.length} layers`;
}

filter.addEventListener("input", sift);
changed.addEventListener("change", sift);
filter.form.addEventListener("submit", (event) => event.preventDefault());
sift();

// a slab, its row, and what the layer becomes

let chosen = null;
const hint = "Point at a slab or a row, or reach one by keyboard, to read its facts here.";

function light(row, node) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  facts.classList.toggle("told", Boolean(row));
  if (!row) {
    facts.textContent = hint;
    return;
  }
  const { top, bottom } = (node ?? row).getBoundingClientRect();
  facts.classList.toggle("up", top + bottom > window.innerHeight);
  row.classList.add("lit");
  for (const slab of slabs.get(row)) slab.classList.add("lit");
  tell(row, node);
}

function tell(row, node) {
  const heads = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent);
  const cells = Array.from(row.cells, (cell) => cell.textContent);
  const title = document.createElement("b");
  const words = document.createElement("span");
  const [number, layer, kind, output, becomes, after, ...rest] = cells;
  const [parameters, parametersAfter, macs, macsAfter, rules, keeps] = rest;
  const own = `${layer}: ${kind}, ${output}`;
  title.textContent = node ? node.querySelector("title").textContent : own;
  const change = becomes ? `becomes ${becomes}${after && `, ${after}`}` : "stays as it is";
  const pair = (before, then) => (before === then ? before : `${before} → ${then}`);
  const cost = `${heads[6]} ${pair(parameters, parametersAfter)}`;
  const work = `${heads[8]} ${pair(macs, macsAfter)}`;
  const why = rules && ` · ${rules}: ${keeps}`;
  words.textContent = `Layer ${number}, ${layer}: ${change} · ${cost} · ${work}${why}`;
  facts.replaceChildren(title, words);
}

function centre(box, part) {
  const [outer, inner] = [box.getBoundingClientRect(), part.getBoundingClientRect()];
  box.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
  box.scrollTop += inner.top + inner.height / 2 - outer.top - outer.height / 2;
}

function choose(row, node) {
  chosen = row;
  light(row, node);
  for (const net of document.querySelectorAll(".net")) {
    const slab = slabs.get(row).find((other) => net.contains(other));
    if (slab && !(node && net.contains(node))) centre(net.parentElement, slab);
  }
  if (node && !row.hidden) {
    const box = table.parentElement;
    const [outer, inner] = [box.getBoundingClientRect(), row.getBoundingClientRect()];
    box.scrollTop += inner.top - outer.top - box.clientHeight / 2;
  }
}

const partOf = (event) => event.target.closest?.(".net .node, tbody tr");
const show = (part) => (part.matches("tr") ? light(part) : light(rowOf(part), part));

for (const name of ["pointerover", "focusin"]) {
  document.addEventListener(name, (event) => partOf(event) && show(partOf(event)));
}
document.addEventListener("keydown", (event) => event.key === "Escape" && light((chosen = null)));
document.addEventListener("pointerout", (event) => partOf(event) && light(chosen));
document.addEventListener("click", (event) => {
  const part = partOf(event);
  if (!part) {
    light((chosen = null));
  } else if (part.matches("tr")) {
    choose(part);
  } else {
    event.preventDefault();
    choose(rowOf(part), part);
  }
});

light(null);

// one stop of the Tab key for each drawing; arrow keys from there

for (const box of document.querySelectorAll("figure .scroll")) {
  const net = box.querySelector(".net");
  const stops = Array.from(net.querySelectorAll(".node"));
  const steps = {
    ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1,
    PageDown: 10, PageUp: -10, Home: -stops.length, End: stops.length,
  };
  const size = [net.width.baseVal.value, net.height.baseVal.value];
  let zoom = 1;
  box.scrollTop = (size[1] - box.clientHeight) / 2;

  const scale = (to) => {
    zoom = Math.min(Math.max(to, 0.05), 4);
    net.setAttribute("width", size[0] * zoom);
    net.setAttribute("height", size[1] * zoom);
  };
  const go = (slab) => {
    for (const other of stops) other.setAttribute("tabindex", other === slab ? 0 : -1);
    centre(box, slab);
    slab.focus();
  };

  stops.forEach((slab, index) => {
    slab.setAttribute("tabindex", index === 0 ? 0 : -1);
    slab.addEventListener("keydown", (event) => {
      if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      go(stops[Math.min(Math.max(index + steps[event.key], 0), stops.length - 1)]);
    });
  });

  const keys = {
    "+": () => scale(zoom * 1.25),
    "=": () => scale(zoom * 1.25),
    "-": () => scale(zoom / 1.25),
    0: () => scale(1),
    f: () => scale((box.clientWidth - 2) / size[0]),
  };
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  const turn = (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    scale(zoom * (event.deltaY < 0 ? 1.1 : 1 / 1.1));
  };
  box.addEventListener("wheel", turn, { passive: false });

  const bar = box.parentElement.querySelector(".zoom");
  const buttons = [
    ["−", "Zoom out", "-"],
    ["+", "Zoom in", "+"],
    ["1:1", "Original size", 0],
    ["Fit", "Fit the width", "f"],
  ];
  for (const [sign, name, key] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = sign;
    button.title = `${name} (${key})`;
    button.setAttribute("aria-label", name);
    button.addEventListener("click", keys[key]);
    bar.append(button);
  }
}
