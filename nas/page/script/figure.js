// A figure: its sentence, a legend of buttons, the drawing, made when it is near, and its numbers as a table.

import { choose, isOfTable, isShown, onChoice } from "./choice.js";
import { copyButton } from "./clipboard.js";
import { onTheme } from "./colours.js";
import { CONFIG, drawing } from "./drawings.js";
import { el, refill, shape } from "./elements.js";
import { short } from "./numbers.js";
import { CLEAR, colourOf, dashOf, markerOf } from "./series.js";

const ROWS = 500; // of the table of a figure's numbers
const LEGEND = 18; // series of a legend, of more the rest are shown when they are asked for
const PAPER = 660; // pixels of a figure on paper
const waiting = new Set();
let near = null, paper = false;

/** Plotly lies in the page as a text, and becomes a script when the first figure is drawn, so that tables need not wait for it. */
function plotly() {
  if (!window.Plotly) document.head.append(el("script", {}, document.getElementById("plotly").textContent));
  return window.Plotly;
}

/** Draw what is near the window first, and all else while nothing else is to be done. */
export function beginDrawing() {
  near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) entry.target.figure.draw();
  }, { rootMargin: "400px" });
  for (const one of waiting) near.observe(one.plot);
  const idle = window.requestIdleCallback ?? ((later) => setTimeout(() => later({ timeRemaining: () => 1 }), 50));
  const next = () => {
    const one = waiting.values().next().value;
    if (!one) return;
    one.draw();
    idle(next);
  };
  idle(next);
}

/** On paper all figures are as wide as it. What is drawn is drawn anew with the colours, so this comes before they change. */
export function onPaper(wanted) {
  paper = wanted;
  if (wanted) for (const one of [...waiting]) one.draw();
}

export function figureOf(given, palette, wanted = true) {
  const hidden = new Set();
  const plot = el("div", { class: "plot", role: "img" });
  const caption = el("figcaption"), legend = el("ul", { class: "legend", "aria-label": "Series, shown or hidden" });
  const values = el("details", { class: "values" }, el("summary", {}, "The numbers"), el("div"));
  const node = el("figure", {}, caption, legend, plot, values);
  const one = { plot, node, draw, update, seen, figure: given, wanted };
  plot.figure = one;
  let drawn = false, listens = false, width = 0, laid = 0, all = false;

  function draw() {
    waiting.delete(one);
    near?.unobserve(plot);
    drawn = true;
    if (node.hidden) return;
    // Axes side by side need room: on a small screen they scroll in their box.
    width = paper ? PAPER : Math.max(plot.clientWidth || 600, 72 * (one.figure.axes?.length ?? 0));
    laid = plot.clientWidth;
    const { data, layout } = drawing(one.figure, palette, width, hidden);
    plotly().react(plot, data, layout, CONFIG);
    plot.style.minHeight = "0";
    if (!performance.getEntriesByName("page-chart").length) performance.mark("page-chart");
    if (listens) return;
    listens = true;
    plot.on("plotly_click", (event) => {
      const point = event.points[0]?.data.points?.[event.points[0].pointNumber];
      if (point?.group) choose(point.group, point.text, point.command);
    });
  }

  function again() {
    if (drawn) draw();
  }

  function key(series) {
    const own = colourOf(palette, series.colour);
    return el("li", {}, el("button", { type: "button", "data-key": `series ${series.name}`, "aria-pressed": String(!hidden.has(series.name)), onclick: () => {
      if (!hidden.delete(series.name)) hidden.add(series.name);
      keys();
      again();
    } }, sign(series, own, palette), series.name));
  }

  function keys() {
    const ways = [...new Map((one.figure.ways ?? []).map((way) => [way.series, way])).values()];
    const series = one.figure.series?.filter((own) => !own.faint) ?? ways.map((way) => ({ name: way.series, colour: way.colour, marker: 0, style: "line", points: { length: 41 } }));
    const few = all || series.length <= LEGEND ? series : series.slice(0, LEGEND - 2);
    const more = few.length < series.length && el("li", {}, el("button", { type: "button", "data-key": "all series", onclick: () => { all = true; keys(); } }, `and ${series.length - few.length} more`));
    refill(legend, series.length > 1 ? [few.map(key), more] : []);
    legend.hidden = series.length < 2;
  }

  function table() {
    if (!values.open) return;
    refill(values.lastElementChild, numbersOf(one.figure));
  }

  function update(now) {
    one.figure = now;
    refill(caption, el("h3", {}, now.title), !now.table && now.note && el("p", {}, now.note), el("p", {}, now.about, crowded(now) ? " Of so many points whiskers are drawn once few of them are chosen." : ""));
    plot.setAttribute("aria-label", `${now.title}. ${now.about} The numbers are in the table below.`);
    keys();
    table();
    seen();
  }

  /** Of several tables only the charts of the one that is read are there. */
  function seen() {
    const there = one.wanted && isOfTable(one.figure.table);
    if (node.hidden === there) node.hidden = !there;
    if (there) again();
  }

  values.addEventListener("toggle", table);
  onChoice(() => { seen(); table(); });
  onTheme(() => { keys(); again(); });
  new ResizeObserver(() => { if (drawn && !paper && plot.clientWidth && plot.clientWidth !== laid) draw(); }).observe(plot);
  waiting.add(one);
  near?.observe(plot);
  update(given);
  return one;
}

function crowded(figure) {
  const points = (figure.series ?? []).filter((series) => series.style === "points" && !series.faint).flatMap((series) => series.points);
  return points.length > CLEAR && points.some((point) => point.low !== null);
}

/** Of a series in the legend. */
function sign(series, own, palette) {
  const marks = {
    circle: "M12 7 m-4.5 0 a4.5 4.5 0 1 0 9 0 a4.5 4.5 0 1 0 -9 0", square: "M8 3h8v8h-8z", diamond: "M12 1.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
    "triangle-up": "M12 2l5.2 9.5h-10.4z", "triangle-down": "M12 12l5.2 -9.5h-10.4z", cross: "M10.2 2h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
    x: "M8.5 1.8l3.5 3.5l3.5 -3.5l2 2l-3.4 3.4l3.4 3.4l-2 2l-3.5 -3.5l-3.5 3.5l-2 -2l3.4 -3.4l-3.4 -3.4z", pentagon: "M12 1.5l5.5 4l-2.1 6.5h-6.8l-2.1 -6.5z",
    star: "M12 1l1.6 4.2l4.4 .2l-3.5 2.8l1.2 4.3l-3.7 -2.5l-3.7 2.5l1.2 -4.3l-3.5 -2.8l4.4 -.2z",
  };
  const dashes = { solid: null, dash: "5 3", dot: "1.5 2.5", dashdot: "5 2 1.5 2", longdash: "8 3" };
  const lined = ["line", "steps", "band"].includes(series.style);
  const marker = markerOf(palette, series.marker), hollow = marker.endsWith("-open");
  const fill = hollow ? { fill: "var(--card)", stroke: own, "stroke-width": 1.5 } : { fill: own };
  return shape("svg", { width: 24, height: 14, viewBox: "0 0 24 14", "aria-hidden": "true" },
    series.style === "front" ? shape("path", { d: "M1 3h10v8h12", fill: "none", stroke: "currentColor", "stroke-dasharray": "1.5 2.5", "stroke-width": 1.4 }) : [
      lined && shape("line", { x1: 0, x2: 24, y1: 7, y2: 7, stroke: own, "stroke-width": 2, "stroke-dasharray": dashes[dashOf(palette, series.marker)] }),
      (!lined || series.points.length <= 40) && shape("path", { d: marks[marker.replace("-open", "")], ...fill }),
    ]);
}

function numbersOf(figure) {
  const [header, rows, chosen = []] = { chart: ofChart, heat_map: ofHeatMap, parallel: ofParallel }[figure.shape](figure);
  const csv = () => [header, ...rows].map((row) => `${row.slice(0, header.length).map((cell) => (/[",\n]/.test(cell ?? "") ? `"${String(cell).replaceAll('"', '""')}"` : cell ?? "")).join(",")}\n`).join("");
  const numeric = header.map((_, place) => rows.some((row) => typeof row[place] === "number"));
  return [
    el("div", { class: "bar" }, el("span", { class: "quiet" }, rows.length > ROWS ? `The first ${ROWS} of ${rows.length.toLocaleString("en")} rows` : ""), copyButton("Copy as CSV", csv)),
    el("div", { class: "box tall", tabindex: 0, role: "region", "aria-label": `Numbers of: ${figure.title}` }, el("table", {},
      el("caption", { class: "sr-only" }, `Numbers of: ${figure.title}`),
      el("thead", {}, el("tr", {}, header.map((name, place) => el("th", { scope: "col", class: numeric[place] ? "number" : null }, name)), chosen.length > 0 && el("th", { scope: "col" }, el("span", { class: "sr-only" }, "Show")))),
      el("tbody", {}, rows.slice(0, ROWS).map((row, number) => el("tr", {},
        header.map((_, place) => el(place ? "td" : "th", { scope: place ? null : "row", class: numeric[place] ? "number" : null }, short(row[place]))),
        chosen.length > 0 && el("td", {}, only(chosen[number], `${figure.id} ${number}`))))))),
  ];
}

/** What a click on the point does, for the keyboard. */
function only({ group, text, command }, key) {
  return group ? el("button", { type: "button", "data-key": key, "aria-label": `Show ${text.split("\n")[0]} alone`, onclick: () => choose(group, text, command) }, "Only") : "";
}

function named(axis) {
  return axis.unit ? `${axis.label} (${axis.unit})` : axis.label;
}

function ofChart(figure) {
  const points = figure.series.filter((series) => series.style !== "front").flatMap((series) => series.points.filter((point) => isShown(point.group)).map((point) => [series, point]));
  const sure = points.some(([, point]) => point.low !== null);
  const x = (value) => (figure.x.names.length ? figure.x.names[Math.round(value)] ?? value : value);
  return [
    ["series", named(figure.x), named(figure.y), ...(sure ? ["95 % from", "to"] : []), "what it is"],
    points.map(([series, point]) => [series.name, x(point.x), point.y, ...(sure ? [point.low, point.high] : []), point.text.replaceAll("\n", ", ")]),
    points.map(([, point]) => point),
  ];
}

function ofHeatMap(figure) {
  return [[named(figure.y), named(figure.x), named(figure.value)], figure.y.names.flatMap((y, down) => figure.xs.map((x, across) => [y, x, figure.values[down][across]]))];
}

function ofParallel(figure) {
  const shown = figure.ways.filter((way) => isShown(way.group));
  return [["what it is", ...figure.axes.map(named)], shown.map((way) => [way.text.replaceAll("\n", ", "), ...way.values.map((value, place) => (figure.axes[place].names.length && value !== null ? figure.axes[place].names[value] : value))]), shown];
}
