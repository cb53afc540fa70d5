// The best answers: what was found, in figures, and as a picture of the network.

import { choose, chosen, isOfTable, onChoice } from "./choice.js";
import { command } from "./clipboard.js";
import { el, withCode } from "./elements.js";
import { networkPicture } from "./network.js";

export function answers(found) {
  return found.map((answer) => el("article", { "aria-label": answer.title, "data-table": answer.table, hidden: !isOfTable(answer.table) },
    el("h3", {}, answer.title),
    el("p", {}, withCode(answer.about)),
    el("dl", { class: "numbers" }, answer.figures.map(([name, value, detail]) => el("div", {}, el("dt", {}, name), el("dd", {}, value, " ", detail && el("small", {}, detail))))),
    answer.network && networkPicture(answer.network),
    answer.network?.notes.length > 0 && el("ul", { class: "notes" }, answer.network.notes.map((note) => el("li", {}, withCode(note)))),
    answer.command && el("details", { class: "no-paper small" }, el("summary", { class: "quiet", "data-key": `command ${answer.command}` }, "The command that made it"), command(answer.command)),
    answer.group && el("p", { class: "no-paper", style: "margin-top:.6rem" }, el("button", { type: "button", "data-key": `answer ${answer.group}`, onclick: () => chosen.group !== answer.group && choose(answer.group, answer.title, answer.command) }, "Show it alone in table and charts"))));
}

onChoice(() => {
  for (const article of document.querySelectorAll("article[data-table]")) article.hidden = !isOfTable(article.dataset.table);
});
