// What runs, what has ended and what failed, of a page that is served while runs go on.

import { el } from "./elements.js";
import { count, duration, short } from "./numbers.js";

export function running(now) {
  return [
    el("dl", { class: "numbers" },
      figure("finished", now.asked ? `${now.finished.toLocaleString("en")} of ${now.asked.toLocaleString("en")}` : now.finished.toLocaleString("en")),
      figure("running", now.runs.length.toLocaleString("en")),
      figure("failed", now.failed.length.toLocaleString("en")),
      now.seconds_left !== null && now.seconds_left !== undefined && figure("left for all", duration(now.seconds_left))),
    now.runs.length > 0 && box("Running", ["run", "who and where", "since", "iteration", "loss", "left"], now.runs.map((one) => [
      [one.method, one.decoupling, one.seed === null ? "" : `seed ${one.seed}`].filter(Boolean).join(" · "),
      [one.who, one.where].filter(Boolean).join(" on "),
      one.since ?? "",
      one.iteration === null ? "" : `${one.iteration.toLocaleString("en")}${one.iterations ? ` of ${one.iterations.toLocaleString("en")}` : ""}`,
      short(one.loss),
      duration(one.seconds_left),
    ])),
    now.failed.length > 0 && box("Failed", ["run", "why", "attempts"], now.failed.map((one) => [[one.method, one.decoupling, `seed ${one.seed}`].join(" · "), one.reason, one.attempts ?? ""])),
    !now.runs.length && el("p", { class: "quiet" }, `Nothing runs now; ${count(now.finished, "run has", "runs have")} ended.`),
  ];
}

function figure(name, text) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, text));
}

function box(title, header, rows) {
  return [el("h3", {}, title), el("div", { class: "box", tabindex: 0, role: "region", "aria-label": title }, el("table", {},
    el("thead", {}, el("tr", {}, header.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, place) => el(place ? "td" : "th", place ? { class: "long" } : { scope: "row", class: "name" }, cell)))))))];
}
