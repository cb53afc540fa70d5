// How Plotly draws: calm axes, no tools over the figure, colours of the page.

import { colour } from "./colours.js";
import { prefixed, short } from "./numbers.js";
import { parallelLayout, parallelTraces } from "./parallel.js";
import { escaped, hovered, isClear, tracesOf } from "./series.js";

export const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset", showTips: false, scrollZoom: false };
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const BELOW = { front: 0, band: 1, steps: 2, line: 2, points: 3 }; // what lies over what

/** The traces and the layout of a figure of this width. `hidden` are the series that the legend has switched off. */
export function drawing(figure, palette, width, hidden) {
  const height = Math.round(Math.min(Math.max(width * 0.5, 290), 460));
  return { chart, heat_map: heatMap, parallel }[figure.shape](figure, palette, width, height, hidden);
}

/** 1, 2 and 5 of each decade where an axis has more than one, a few more in about one; of less Plotly finds better places. */
function decades(values) {
  const there = values.filter((value) => value > 0);
  const low = there.reduce((a, b) => Math.min(a, b), Infinity), high = there.reduce((a, b) => Math.max(a, b), 0);
  if (high < 4 * low) return {};
  const all = high > 3000 * low ? [1] : high > 20 * low ? [1, 2, 5] : [1, 2, 3, 5, 7];
  const first = Math.floor(Math.log10(low)) - 1, last = Math.ceil(Math.log10(high)) + 1;
  const places = Array.from({ length: last - first + 1 }, (_, number) => first + number).flatMap((power) => all.map((one) => Number((one * 10 ** power).toPrecision(1))));
  return { tickvals: places, ticktext: places.map((value) => (value >= 1e6 || value < 1e-3 ? prefixed(value) : value.toLocaleString("en"))) };
}

function axis(described, values = [], width = 600) {
  const named = described.names.length > 0;
  return {
    title: { text: escaped(described.label + (described.unit ? ` (${described.unit})` : "")), font: { size: 13, color: colour("quiet") }, standoff: 12 },
    type: named ? "linear" : described.log ? "log" : "linear",
    ...(named ? { tickvals: described.names.map((_, place) => place), ticktext: described.names.map(escaped), range: [-0.5, described.names.length - 0.5] } : {}),
    ...(described.log && !named ? decades(values) : {}),
    ...(described.unit === "%" ? { autorangeoptions: { clipmin: 0, clipmax: 100 } } : {}),
    gridcolor: colour("line"),
    gridwidth: 1,
    showgrid: !named,
    linecolor: colour("quiet"),
    showline: true,
    zeroline: false,
    ticks: "outside",
    ticklen: 4,
    tickcolor: colour("quiet"),
    tickfont: { size: 12, color: colour("quiet") },
    tickangle: 0,
    nticks: width < 450 ? 5 : 8,
    exponentformat: "SI",
    automargin: true,
  };
}

function layout(width, height, more) {
  return {
    width,
    height,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: FONT, size: 13, color: colour("ink") },
    margin: { l: 56, r: 18, t: 16, b: 50 },
    showlegend: false,
    hovermode: "closest",
    hoverdistance: 12,
    dragmode: "zoom",
    uirevision: "kept",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("quiet"), font: { family: FONT, size: 12, color: colour("ink") }, align: "left", namelength: 0 },
    ...more,
  };
}

function chart(figure, palette, width, height, hidden) {
  if (isLying(figure)) return lying(figure, palette, width, hidden);
  const shown = figure.series.filter((series) => !hidden.has(series.name));
  shown.sort((one, other) => Number(other.faint) - Number(one.faint) || BELOW[one.style] - BELOW[other.style]);
  return { data: shown.flatMap((series) => tracesOf(series, palette, isClear(shown))), layout: layout(width, height, { xaxis: axis(figure.x, valuesOf(shown, "x"), width), yaxis: axis(figure.y, valuesOf(shown, "y")) }) };
}

/** Long names stand where they can be read: beside their rows. */
function isLying(figure) {
  return figure.x.names.some((name) => name.length > 9);
}

function lying(figure, palette, width, hidden) {
  const names = figure.x.names;
  const most = Math.max(10, Math.floor(width * 0.42 / 6.6));
  const shown = figure.series.filter((series) => !hidden.has(series.name)).sort((one, other) => Number(other.faint) - Number(one.faint));
  const data = shown.flatMap((series) => tracesOf(series, palette, isClear(shown))).map(({ x, y, error_y, ...trace }) => ({ ...trace, x: y, y: x, error_x: error_y }));
  const rows = { ...axis(figure.x), title: { text: "" }, ticktext: names.map((name) => escaped(name.length > most ? `${name.slice(0, most - 1)}…` : name)), range: [names.length - 0.5, -0.5], showgrid: true };
  const longest = Math.min(most, names.reduce((length, name) => Math.max(length, name.length), 0));
  return {
    data,
    layout: layout(width, 76 + Math.max(24, 34 - names.length) * names.length, {
      margin: { l: 14 + 6.9 * longest, r: 18, t: 12, b: 50 },
      xaxis: axis(figure.y, [], width),
      yaxis: { ...rows, automargin: false },
    }),
  };
}

function valuesOf(shown, across) {
  return shown.flatMap((series) => series.points.map((point) => point[across]));
}

function heatMap(figure, palette, width) {
  const rows = figure.y.names.length;
  const marked = new Set(figure.marked);
  return {
    data: [{
      type: "heatmap",
      x: figure.xs,
      y: figure.y.names.map((_, place) => place),
      z: figure.values,
      text: figure.values.map((row, down) => row.map((value, across) => hovered(`${figure.y.label} ${figure.y.names[down]}, ${figure.x.label} ${figure.xs[across]}\n${figure.value.label} ${short(value)} ${figure.value.unit}`))),
      hoverinfo: "text",
      zmin: figure.low,
      zmax: figure.high,
      colorscale: palette.heat.map((one, place) => [place / (palette.heat.length - 1), one]),
      colorbar: { thickness: 10, outlinewidth: 0, title: { text: escaped(figure.value.label), side: "right", font: { size: 12, color: colour("quiet") } }, tickfont: { size: 11, color: colour("quiet") } },
      ygap: 2,
    }],
    layout: layout(width, Math.max(220, 96 + 26 * rows), {
      xaxis: { ...axis(figure.x), showgrid: false },
      yaxis: { ...axis(figure.y), ticktext: figure.y.names.map((name, place) => (marked.has(place) ? `<b>${escaped(name)} ✂</b>` : escaped(name))), range: [rows - 0.5, -0.5], showgrid: false },
    }),
  };
}

function parallel(figure, palette, width, height, hidden) {
  const { traces, scales } = parallelTraces(figure, palette, hidden);
  return { data: traces, layout: layout(width, height, parallelLayout(figure, scales, width)) };
}
