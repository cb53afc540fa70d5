// What runs, what has ended and what failed, of a page that is served while runs go on.

import { command } from "./clipboard.js";
import { el } from "./elements.js";
import { count, duration, short } from "./numbers.js";

const DAY = 86400;
const RUN = ["run", "done", "loss", "validation error", "left", "process"];
const NARROW = new Set(["done", "loss", "validation error", "left", "attempts"]);

export function running(now) {
  const alive = now.runs.filter((one) => !one.killed), killed = now.runs.filter((one) => one.killed);
  const commands = now.commands.filter((one) => !one.killed);
  return [
    el("dl", { class: "numbers" },
      figure("finished", now.asked ? `${whole(now.finished)} of ${whole(now.asked)}` : whole(now.finished)),
      figure("running", whole(alive.length)),
      now.failed_runs > 0 && figure("failed", whole(now.failed_runs)),
      killed.length > 0 && figure("killed", whole(killed.length)),
      left(now) !== null && figure("left for all", duration(left(now)))),
    now.trouble && el("p", { role: "alert" }, now.trouble),
    commands.map((one) => el("article", { class: "doing", "aria-label": "A command" },
      el("p", {}, el("strong", {}, one.total ? `${whole(one.done)} of ${whole(one.total)} ${one.what}` : "begins"), ` · ${listed([
        one.best_error !== null && `best error ${percent(one.best_error)}`, left(one) !== null && `${duration(left(one))} left`])}since `, since(one.since), ` · ${who(one)}`),
      one.total > 0 && bar(one.done, one.total),
      command(one.command))),
    alive.length > 0 && box("Running", RUN, alive.map((one) => [
      nameOf(one), steps(one), short(one.loss), percent(one.validation_error), duration(left(one)), [who(one), ", since ", since(one.since)],
    ])),
    killed.length > 0 && [
      box("Killed", ["run", "done", "process"], killed.map((one) => [nameOf(one), steps(one), [who(one), ", last heard of ", since(one.heard)]])),
      el("p", { class: "small quiet" }, "Their processes are gone. The same command again goes on from their checkpoints."),
    ],
    now.failed.length > 0 && [
      box("Failed", ["run", "why", "attempts"], now.failed.map((one) => [nameOf(one), one.reason, one.attempts])),
      now.failed.length < now.failed_runs && el("p", { class: "small quiet" }, `The last ${whole(now.failed.length)} of ${whole(now.failed_runs)}.`),
    ],
    !alive.length && !commands.length && el("p", { class: "quiet" }, now.finished ? `Nothing runs now; ${count(now.finished, "run has", "runs have")} ended.` : "Nothing runs now, and no run has ended yet."),
  ];
}

function whole(number) {
  return number.toLocaleString("en");
}

function nameOf(one) {
  return [one.method, one.decoupling, one.seed === "" ? "" : `seed ${one.seed}`].filter(Boolean).join(" · ");
}

function who(one) {
  return [one.who, one.where].filter(Boolean).join(" on ");
}

function percent(share) {
  return share === null || share === undefined ? "" : `${(100 * share).toFixed(2)} %`;
}

/** Iterations; of a run whose training is over that it is measured. */
function steps(one) {
  if (one.iteration === null) return "begins";
  if (one.iteration === one.iterations && !one.killed) return "trained, and measured now";
  return [`${whole(one.iteration)} of ${whole(one.iterations)}`, bar(one.iteration, one.iterations)];
}

function bar(done, total) {
  return el("progress", { max: total, value: done, "aria-hidden": "true" });
}

function left(one) {
  return one.seconds_left ?? null;
}

/** The reader's own time, and how long that is ago. */
function since(text) {
  const moment = new Date(text.replace(" ", "T"));
  if (Number.isNaN(moment.getTime())) return text;
  const ago = (Date.now() - moment.getTime()) / 1000;
  const clock = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return el("time", { datetime: moment.toISOString() }, ago > DAY ? `${moment.toLocaleDateString()} ${clock}` : clock, el("small", { class: "quiet" }, ` (${duration(ago)})`));
}

function figure(name, text) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, text));
}

function listed(parts) {
  return parts.filter(Boolean).map((part) => `${part} · `).join("");
}

function box(title, header, rows) {
  return [el("h3", {}, title), el("div", { class: "box", tabindex: 0, role: "region", "aria-label": title, "data-key": `now ${title}` }, el("table", { class: "doing" },
    el("thead", {}, el("tr", {}, header.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, place) => el(place ? "td" : "th", place ? { class: NARROW.has(header[place]) ? null : "long" } : { scope: "row", class: "name" }, cell)))))))];
}
