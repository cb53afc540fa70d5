// The page begins: its data is read, its text and tables are shown, and then its figures are drawn.

import { chosen, isNarrowed, onChoice, read, showAll } from "./choice.js";
import { copyButton } from "./clipboard.js";
import { themeSwitch, wear, wearOwn } from "./colours.js";
import { el, refill, say } from "./elements.js";
import { beginDrawing, onPaper } from "./figure.js";
import { beginLive } from "./live.js";
import { count } from "./numbers.js";
import { showNow, showSections } from "./sections.js";
import { unpacked } from "./unpacked.js";

function top(data) {
  document.title = data.title;
  refill(document.getElementById("top"), themeSwitch(), el("h1", {}, data.title), el("p", {}, data.subtitle), tables(data.tables), el("p", { id: "live" }));
}

/** Which of several tables is read, with its answer and its charts. */
function tables(there) {
  if (!there.some((table) => table.name === chosen.table)) read(there[0]?.name ?? "");
  if (there.length < 2) return null;
  const options = there.map((table) => el("option", { value: table.name, selected: table.name === chosen.table }, `${table.title} (${count(table.lines.length, "line")})`));
  return el("label", { class: "field tables" }, `Rows that compare: one of ${there.length} sets`,
    el("select", { "data-key": "tables", onchange: (event) => read(event.target.value) }, options));
}

/** What was chosen, with a way back. */
function showChoice() {
  const bar = document.getElementById("chosen");
  bar.hidden = !isNarrowed();
  document.body.classList.toggle("choosing", isNarrowed());
  if (!isNarrowed()) return;
  const [title, ...more] = chosen.label.split("\n");
  refill(bar,
    el("div", { class: "what" },
      chosen.group !== null && [el("strong", {}, title), more.length > 0 && el("div", {}, more.join(" · ")), chosen.command && el("code", { class: "code" }, chosen.command)],
      chosen.words.length > 0 && el("div", {}, `Only what contains “${chosen.words.join(" ")}”`)),
    chosen.group !== null && chosen.command && copyButton("Copy command", chosen.command, { "data-key": "copy command" }),
    el("button", { type: "button", class: "main", "data-key": "show all", onclick: () => { showAll(); say("All is shown"); } }, "Show all"));
}

function redraw(given) {
  const data = unpacked(given);
  top(data);
  showSections(data);
}

/** The section that is read stands out in the contents. */
function markSection() {
  const marks = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of document.querySelectorAll("#contents a")) {
        if (link.hash === `#${entry.target.id}`) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const section of document.querySelectorAll("main > section")) marks.observe(section);
}

const given = JSON.parse(document.getElementById("data").textContent);
const live = given.live;
onChoice(showChoice);
redraw(given);
markSection();
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView(); // which the browser did not find before
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isNarrowed() && !event.defaultPrevented && !event.target.closest?.("details.pop")) showAll();
});
window.addEventListener("beforeprint", () => { onPaper(true); wear("light"); });
window.addEventListener("afterprint", () => { onPaper(false); wearOwn(); });
window.addEventListener("load", () => {
  beginDrawing();
  performance.mark("page-interactive");
  if (live) beginLive(live, given.running?.version, redraw, showNow);
});
performance.mark("page-text");
