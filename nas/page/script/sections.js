// The sections of the page in their order. One that has nothing to show is not there.

import { answers } from "./answer.js";
import { whatWasAsked } from "./asked.js";
import { el, inOrder, refill } from "./elements.js";
import { figuresOfKind } from "./kind.js";
import { provenanceOf, warningsOf } from "./provenance.js";
import { running } from "./running.js";
import { fairTable } from "./table.js";

const kept = new Map(); // of each section its node, what it was made of, and how it takes new data

/** A section whose content is made anew where its data has changed. */
function plain(content) {
  return (data, body) => {
    const update = (now) => refill(body, content(now));
    update(data);
    return update;
  };
}

function table(data, body) {
  const refused = el("div");
  const made = data.tables.length ? fairTable(data) : { node: "", update() {} };
  const update = (now, first) => {
    if (first !== true) made.update(now);
    refill(refused, now.refused.length ? [el("h3", {}, "What is in no table"), warningsOf(now.refused)] : null);
  };
  update(data, true);
  body.append(made.node, refused);
  return update;
}

function figures(data, body) {
  const kinds = new Map();
  const list = el("div", { class: "figures" });
  body.append(list);
  const update = (now) => {
    const of = Map.groupBy(now.figures, (figure) => figure.kind);
    for (const [kind, one] of kinds) {
      if (of.has(kind)) continue;
      one.node.remove();
      kinds.delete(kind);
    }
    for (const [kind, own] of of) {
      if (!kinds.has(kind)) kinds.set(kind, figuresOfKind(now.palette));
      kinds.get(kind).update(own);
    }
    inOrder(list, [...of.keys()].map((kind) => kinds.get(kind).node));
  };
  update(data);
  return update;
}

function planned(data) {
  const own = [
    data.running && ["running", "Now", null, data.running, plain(running)],
    data.asked && ["asked", "What was asked", null, data.asked, plain(whatWasAsked)],
    data.answers.length > 0 && ["answer", "The best answer", null, data.answers, plain(answers)],
    (data.tables.length > 0 || data.refused.length > 0) && ["table", "Fair table", data.about_table, { tables: data.tables, refused: data.refused }, table],
    ...data.sections.map((section) => [section.id, section.title, section.about, { figures: section.figures, palette: data.palette }, figures]),
    data.warnings.length > 0 && ["warnings", "Warnings", "What to know before relying on these figures.", data.warnings, plain(warningsOf)],
    data.provenance && ["provenance", "Where it comes from", null, data.provenance, plain(provenanceOf)],
  ];
  return own.filter(Boolean);
}

export function showSections(data) {
  const main = document.getElementById("main");
  const plan = planned(data);
  for (const [id, title, about, content, make] of plan) {
    const text = data.live ? JSON.stringify(content) : null; // of a page that is served, to tell what has changed
    const one = kept.get(id);
    if (one && one.text === text) continue;
    if (one) {
      one.text = text;
      one.update(content);
      continue;
    }
    const body = el("div");
    const node = el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), about && el("p", { class: "quiet" }, about), body);
    kept.set(id, { node, text, update: make(content, body) });
  }
  for (const [id, one] of kept) {
    if (plan.some(([own]) => own === id)) continue;
    one.node.remove();
    kept.delete(id);
  }
  main.querySelector("noscript")?.remove();
  inOrder(main, plan.map(([id]) => kept.get(id).node));
  contents(plan, data);
}

/** Show what runs now, where that alone has changed; false where the page has no place for it yet. */
export function showNow(now) {
  const one = kept.get("running");
  if (!one) return false;
  one.text = JSON.stringify(now);
  one.update(now);
  return true;
}

function contents(plan, data) {
  refill(document.getElementById("contents"), el("ol", {}, plan.map(([id, title]) => el("li", {}, el("a", { href: `#${id}`, "data-key": `to ${id}` }, title,
    id === "warnings" ? el("span", { class: "many" }, ` (${data.warnings.length})`) : null)))));
}
