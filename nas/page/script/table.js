// The fair table: sorted, narrowed, with the columns that are wanted; a page of it at a time, so that thousands of lines cost nothing.

import { chosen, choose, isNarrowed, isShown, matches, onChoice, search, showAll } from "./choice.js";
import { copy } from "./clipboard.js";
import { columnChooser, visible } from "./columns.js";
import { el, refill, say, shape } from "./elements.js";
import { count } from "./numbers.js";
import { asCsv, asLatex, asMarkdown } from "./table_text.js";

const A_PAGE = 50;
const ON_PAPER = 250;

export function fairTable(data) {
  const view = { tables: [], sorted: null, descending: false, page: 0, size: A_PAGE };
  const told = el("div"), bar = el("div", { class: "bar" }), box = el("div", { class: "box fair", tabindex: 0, role: "region", "aria-label": "The fair table, which may scroll sideways" });
  const pages = el("nav", { class: "pages", "aria-label": "Pages of the table" }), notes = el("div");
  const node = el("div", {}, told, bar, box, pages, notes);
  let columns = "";

  const current = () => view.tables.find((table) => table.name === chosen.table) ?? view.tables[0];

  function lines() {
    const found = current().lines.filter((line) => isShown(line.group));
    if (!view.sorted) return found;
    const place = current().columns.findIndex((column) => column.key === view.sorted);
    const sign = view.descending ? -1 : 1;
    return found.sort((one, other) => sign * compared(one.cells[place], other.cells[place], sign));
  }

  function searched() {
    chosen.matching = new Set();
    if (!chosen.words.length) return;
    for (const table of view.tables) {
      for (const line of table.lines) if (matches(line.searched)) chosen.matching.add(line.group);
    }
  }

  function tools() {
    const table = current();
    const field = el("input", { type: "search", "data-key": "search", placeholder: "method, head, cut …", oninput: (event) => {
      view.page = 0;
      search(event.target.value);
    } });
    field.value = chosen.words.join(" ");
    const text = (write) => (event) => copy(write(visible(current()), lines()), event.currentTarget);
    refill(bar, el("label", { class: "field" }, "Only lines and points with", field), columnChooser(table, draw),
      el("div", { class: "bar push", role: "group", "aria-label": "Copy what is shown", style: "margin:0" }, el("span", { class: "small quiet" }, "Copy as"),
        el("button", { type: "button", "data-key": "csv", onclick: text(asCsv) }, "CSV"),
        el("button", { type: "button", "data-key": "markdown", onclick: text(asMarkdown) }, "Markdown"),
        el("button", { type: "button", "data-key": "latex", onclick: text(asLatex) }, "LaTeX")));
  }

  function heading(column) {
    const sorted = view.sorted === column.key;
    return el("th", { scope: "col", class: column.numeric ? "number" : null, title: column.about || null, "aria-sort": sorted ? (view.descending ? "descending" : "ascending") : "none" },
      el("div", {}, el("button", { type: "button", "data-key": `sort ${column.key}`, onclick: () => {
        Object.assign(view, { sorted: sorted && view.descending ? null : column.key, descending: sorted && !view.descending, page: 0 });
        draw();
        say(view.sorted ? `Sorted by ${column.label}, ${view.descending ? "highest" : "lowest"} first` : "In the order of K and error");
      } }, column.label, column.unit ? ` ${column.unit}` : ""),
      el("span", { class: "order", "aria-hidden": "true" }, sorted ? (view.descending ? "↓" : "↑") : "")));
  }

  function cell(column, line, scale) {
    const text = line.shown[column.place] ?? line.cells[column.place] ?? "";
    if (column.place === 0) return el("th", { scope: "row", class: "name" }, text);
    const kinds = [column.numeric && "number", column.long && "long", column.spread && line.best && "best"].filter(Boolean).join(" ");
    return el("td", { class: kinds || null }, text, column.spread && scale ? spread(line, column, scale) : null);
  }

  function draw() {
    searched();
    const table = current(), shown = visible(table), found = lines();
    if (columns !== table.columns.map((column) => column.key).join()) {
      columns = table.columns.map((column) => column.key).join();
      tools();
    }
    const last = Math.max(0, Math.ceil(found.length / view.size) - 1);
    view.page = Math.min(view.page, last);
    const here = found.slice(view.page * view.size, (view.page + 1) * view.size);
    const scale = scaleOf(table.lines);
    refill(told, about(table, view.tables.length > 1));
    refill(box, el("table", {},
      el("caption", { class: "sr-only" }, `${table.title}: ${count(found.length, "line")}`),
      el("thead", {}, el("tr", {}, shown.map(heading), el("th", { scope: "col", class: "only no-paper" }, el("span", { class: "sr-only" }, "Show")))),
      el("tbody", {}, here.map((line) => el("tr", { class: line.group === chosen.group ? "chosen-line" : null },
        shown.map((column) => cell(column, line, scale)),
        el("td", { class: "only no-paper" }, el("button", { type: "button", "data-key": `only ${line.group}`, "aria-pressed": String(line.group === chosen.group), "aria-label": `Show ${line.label} alone`, onclick: () => choose(line.group, line.label, line.command) }, "Only"))))),
      here.length ? null : el("tbody", {}, el("tr", {}, el("td", { colspan: shown.length + 1 }, "No line of this table is meant by what you chose. ", el("button", { type: "button", onclick: showAll }, "Show all"))))));
    refill(pages, found.length > view.size ? [
      el("span", {}, `${view.page * view.size + 1}–${view.page * view.size + here.length} of ${found.length.toLocaleString("en")}`),
      el("button", { type: "button", "data-key": "before", disabled: view.page === 0, onclick: () => { view.page -= 1; draw(); } }, "Previous"),
      el("button", { type: "button", "data-key": "after", disabled: view.page === last, onclick: () => { view.page += 1; draw(); } }, "Next"),
    ] : isNarrowed() ? el("span", {}, `${found.length} of ${count(table.lines.length, "line")}`) : []);
    refill(notes, table.notes.length ? el("ul", { class: "notes" }, table.notes.map((note) => el("li", {}, note))) : null);
  }

  function update(now) {
    view.tables = now.tables;
    for (const table of view.tables) {
      const read = table.columns.map((column, place) => [column.key, place]).filter(([key]) => key !== "command"); // which names other lines too
      for (const line of table.lines) line.searched ??= read.map(([, place]) => `${line.shown[place] ?? ""} ${line.cells[place] ?? ""}`).join(" ").toLowerCase();
    }
    columns = "";
    draw();
  }

  onChoice(() => {
    const field = bar.querySelector("input[type=search]");
    if (field && document.activeElement !== field) field.value = chosen.words.join(" ");
    draw();
  });
  const sized = (size) => () => { view.size = size; draw(); };
  window.addEventListener("beforeprint", sized(ON_PAPER));
  window.addEventListener("afterprint", sized(A_PAGE));
  update(data);
  return { node, update };
}

function about(table, several) {
  const shared = table.shared.map(([name, value]) => `${name} ${value}`).join(" · ");
  return [several && el("h3", {}, table.title), el("p", { class: "small quiet" }, `In all of these lines: ${shared}`)];
}

/** What is not there comes last, whichever way. */
function compared(one, other, sign) {
  if (one === other) return 0;
  if (one === null) return sign;
  if (other === null) return -sign;
  return typeof one === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
}

function scaleOf(lines) {
  const ends = lines.flatMap((line) => (line.low === null ? [] : [line.low, line.high]));
  if (!ends.length) return null;
  const low = Math.max(0, ends.reduce((a, b) => Math.min(a, b))), high = Math.min(100, ends.reduce((a, b) => Math.max(a, b)));
  return high > low ? (value) => 4 + 68 * (Math.min(high, Math.max(low, value)) - low) / (high - low) : null;
}

/** The mean and its interval, on one scale for all lines. */
function spread(line, column, scale) {
  const middle = scale(line.cells[column.place]);
  return shape("svg", { class: "spread", width: 76, height: 12, viewBox: "0 0 76 12", "aria-hidden": "true" },
    line.low === null ? null : shape("line", { x1: scale(line.low), x2: scale(line.high), y1: 6, y2: 6 }),
    shape("circle", { cx: middle, cy: 6, r: 3 }));
}
