// Parallel coordinates, drawn as lines over axes that stand side by side: they can be hovered, clicked, filtered and printed.

import { isNarrowed, isShown } from "./choice.js";
import { colour } from "./colours.js";
import { short } from "./numbers.js";
import { colourOf, escaped, hovered } from "./series.js";

export function parallelTraces(figure, palette, hidden) {
  const scales = figure.axes.map((axis, place) => scaleOf(axis, figure.ways.map((way) => way.values[place])));
  const groups = new Map();
  for (const way of figure.ways) {
    if (hidden.has(way.series)) continue;
    const faint = isNarrowed() && !isShown(way.group);
    const key = `${faint ? 0 : 1} ${way.series}`;
    if (!groups.has(key)) groups.set(key, { faint, way, ways: [] });
    groups.get(key).ways.push(way);
  }
  const traces = [...groups.values()].sort((one, other) => Number(other.faint) - Number(one.faint)).map(({ faint, way, ways }) => {
    const x = [], y = [], points = [], hovertext = [];
    for (const one of ways) {
      one.values.forEach((value, place) => {
        x.push(place);
        y.push(value === null ? null : scales[place](value));
        points.push(one);
        hovertext.push(hovered(one.text));
      });
      x.push(null);
      y.push(null);
      points.push(null);
      hovertext.push("");
    }
    const many = figure.ways.length > 60;
    return {
      type: "scatter", mode: many ? "lines" : "lines+markers", x, y, points, hovertext,
      hoverinfo: faint ? "skip" : "text", opacity: faint ? 0.1 : figure.ways.length > 500 ? 0.25 : many ? 0.5 : 0.85,
      line: { color: colourOf(palette, way.colour), width: figure.ways.length > 500 ? 0.6 : many ? 1 : 1.6 }, marker: { size: 5, color: colourOf(palette, way.colour) }, showlegend: false,
    };
  });
  return { traces, scales };
}

/** Where a value of an axis stands, from 0 to 1. */
function scaleOf(axis, values) {
  if (axis.names.length) {
    const last = Math.max(axis.names.length - 1, 1);
    return Object.assign((value) => value / last, { ticks: axis.names.map((name, place) => [place / last, name]) });
  }
  const there = values.filter((value) => value !== null);
  let low = there.reduce((a, b) => Math.min(a, b), Infinity), high = there.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!(high > low)) [low, high] = [low - 1, high + 1];
  const log = axis.log && low > 0;
  const to = (value) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const from = (share) => (log ? low * (high / low) ** share : low + share * (high - low));
  const whole = there.every(Number.isInteger), shares = [0, 0.25, 0.5, 0.75, 1];
  const numbers = high - low < 9 ? Array.from({ length: high - low + 1 }, (_, place) => low + place) : [...new Set(shares.map((share) => Math.round(from(share))))];
  const ticks = whole ? numbers.map((value) => [to(value), short(value)]) : shares.map((share) => [share, short(Number(from(share).toPrecision(3)))]);
  return Object.assign(to, { ticks });
}

export function parallelLayout(figure, scales, width) {
  const slanted = width / figure.axes.length < 78;
  const label = (axis) => escaped(axis.label) + (axis.unit && !slanted ? `<br>(${escaped(axis.unit)})` : "");
  const annotation = (more) => ({ showarrow: false, font: { size: 11, color: colour("quiet") }, bgcolor: colour("card"), opacity: 0.9, borderpad: 1, ...more });
  return {
    margin: { l: 30, r: 60, t: 18, b: slanted ? 110 : 48 },
    xaxis: { visible: true, range: [-0.15, figure.axes.length - 0.6], tickvals: figure.axes.map((_, place) => place), ticktext: figure.axes.map(label), tickangle: slanted ? -38 : 0, showgrid: false, zeroline: false, fixedrange: true, tickfont: { size: 12, color: colour("ink") } },
    yaxis: { visible: false, range: [-0.06, 1.06], fixedrange: true },
    shapes: figure.axes.map((_, place) => ({ type: "line", x0: place, x1: place, y0: 0, y1: 1, layer: "below", line: { color: colour("quiet"), width: 1 } })),
    annotations: scales.flatMap((scale, place) => scale.ticks.map(([y, text]) => annotation({ x: place, y, text: escaped(text), xanchor: "left", xshift: 4 }))),
  };
}
