// Which columns of the table are shown; as the data has it until the reader says otherwise.

import { el } from "./elements.js";

const own = new Map();

export function isVisible(column) {
  return own.get(column.key) ?? !column.hidden;
}

export function visible(table) {
  return table.columns.map((column, place) => ({ ...column, place })).filter(isVisible);
}

export function columnChooser(table, changed) {
  const boxes = table.columns.map((column, place) => el("label", {},
    el("input", { type: "checkbox", "data-key": `column ${column.key}`, checked: isVisible(column), disabled: place === 0, onchange: (event) => {
      own.set(column.key, event.target.checked);
      changed();
    } }), el("span", {}, column.label, column.about ? el("span", { class: "quiet" }, ` ${column.about}`) : null)));
  const chooser = el("details", { class: "pop" }, el("summary", { "data-key": "columns" }, "Columns"), el("div", { role: "group", "aria-label": "Columns that are shown" }, boxes));
  chooser.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !chooser.open) return;
    chooser.open = false;
    chooser.querySelector("summary").focus();
  });
  chooser.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !chooser.contains(event.relatedTarget)) chooser.open = false;
  });
  document.addEventListener("pointerdown", (event) => {
    if (!chooser.contains(event.target)) chooser.open = false;
  });
  return chooser;
}
