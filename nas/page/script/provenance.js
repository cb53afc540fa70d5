// Where the rows come from, and what to know before one relies on them.

import { el, facts } from "./elements.js";

export function warningsOf(warnings) {
  return el("ul", { class: "warnings" }, warnings.map((text) => el("li", {}, text)));
}

export function provenanceOf(provenance) {
  return [
    facts(provenance.facts),
    el("div", { class: "box" }, el("table", {}, el("caption", {}, "What was read"),
      el("thead", {}, el("tr", {}, ["where", "rows", "what"].map((name) => el("th", { scope: "col", class: name === "rows" ? "number" : null }, name)))),
      el("tbody", {}, provenance.sources.map((source) => el("tr", {}, el("th", { scope: "row", class: "name" }, source.where), el("td", { class: "number" }, source.rows.toLocaleString("en")), el("td", {}, source.kind)))))),
  ];
}
