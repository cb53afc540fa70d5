// What was asked: the commands, and what they were about.

import { command } from "./clipboard.js";
import { el, facts } from "./elements.js";
import { count } from "./numbers.js";

const FEW = 1;

export function whatWasAsked(asked) {
  const commands = asked.commands.map((one) => el("li", {}, command(one.command), el("div", { class: "small quiet" }, count(one.rows, "row"))));
  return [
    facts(asked.facts),
    el("ul", { class: "commands" }, commands.slice(0, FEW)),
    commands.length > FEW && el("details", { class: "no-paper" }, el("summary", { "data-key": "more commands" }, count(commands.length - FEW, "more command")), el("ul", { class: "commands" }, commands.slice(FEW))),
  ];
}
