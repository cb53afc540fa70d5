// The series of a chart as Plotly's traces, in two parts: what is shown, and faintly behind it what the reader left out.

import { isNarrowed, isShown } from "./choice.js";
import { colour, isDark } from "./colours.js";

const FAINT = 0.13;
const MANY = 400; // points of a series, from which on they are smaller
export const CLEAR = 120; // points of a chart, up to which their intervals can be told apart

export function colourOf(palette, number) {
  const colours = isDark() ? palette.dark : palette.light;
  return colours[number % colours.length];
}

export function markerOf(palette, number) {
  return palette.markers[number % palette.markers.length];
}

export function dashOf(palette, number) {
  return palette.dashes[number % palette.dashes.length];
}

export function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** As hover shows it: lines of at most so many characters, nothing of it read as markup. */
export function hovered(text, width = 72) {
  return text.split("\n").flatMap((line) => folded(line, width)).slice(0, 14).map(escaped).join("<br>");
}

function folded(line, width) {
  const lines = [];
  let rest = line;
  while (rest.length > width) {
    const space = rest.lastIndexOf(" ", width);
    const end = space > width / 2 ? space : width;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}

/** Whether the intervals of what is shown can be told apart. */
export function isClear(series) {
  return series.filter((one) => one.style === "points" && !one.faint).reduce((count, one) => count + one.points.filter((point) => isShown(point.group)).length, 0) <= CLEAR;
}

export function tracesOf(series, palette, clear) {
  const kept = isNarrowed() ? series.points.filter((point) => isShown(point.group)) : series.points;
  const left = kept.length === series.points.length ? [] : series.points.filter((point) => !isShown(point.group));
  return [left.length ? traces(series, left, palette, true, clear) : [], kept.length ? traces(series, kept, palette, false, clear) : []].flat();
}

function traces(series, points, palette, faint, clear) {
  const own = colourOf(palette, series.colour);
  const base = {
    type: "scatter",
    x: points.map((point) => point.x),
    y: points.map((point) => point.y),
    opacity: faint ? FAINT : series.faint ? 0.35 : 1,
    hoverinfo: faint ? "skip" : "text",
    hovertext: faint ? undefined : points.map((point) => hovered(point.text)),
    points,
    showlegend: false,
  };
  const line = { color: own, width: series.faint ? 1 : 1.8, dash: dashOf(palette, series.marker), shape: series.style === "steps" ? "hv" : "linear" };
  const small = series.points.length > MANY;
  const markers = { symbol: markerOf(palette, series.marker), color: own, size: (small ? 5 : 9) * (markerOf(palette, series.marker).startsWith("triangle") ? 1.4 : 1), line: { color: colour("card"), width: markerOf(palette, series.marker).endsWith("-open") ? 1.6 : small ? 0 : 0.8 } };
  const drawn = {
    points: () => [{ ...base, mode: "markers", marker: markers, error_y: clear && !faint ? intervals(points, own) : undefined }],
    line: () => [{ ...base, error_y: points.length > 40 ? undefined : intervals(points, own), mode: points.length > 1 && (series.faint || points.length > 40) ? "lines" : "lines+markers", line, marker: { ...markers, size: 0.75 * markers.size } }],
    steps: () => [...band(points, own, base), { ...base, mode: "lines", line }],
    band: () => [...band(points, own, base), { ...base, mode: points.length > 1 ? "lines" : "markers", line, marker: markers }],
    front: () => [{ ...base, mode: "lines", line: { color: colour("quiet"), width: 1.3, dash: "dot", shape: "hv" }, hoverinfo: "skip" }],
  };
  return (drawn[series.style] ?? drawn.points)();
}

function intervals(points, own) {
  if (points.every((point) => point.low === null)) return undefined;
  return {
    type: "data",
    symmetric: false,
    array: points.map((point) => (point.high === null ? 0 : point.high - point.y)),
    arrayminus: points.map((point) => (point.low === null ? 0 : point.y - point.low)),
    color: own,
    thickness: 1.2,
    width: 3,
  };
}

function band(points, own, base) {
  const there = points.filter((point) => point.low !== null && point.high !== null);
  if (there.length < 2) return [];
  const back = [...there].reverse();
  return [{
    type: "scatter",
    mode: "lines",
    x: [...there, ...back].map((point) => point.x),
    y: [...there.map((point) => point.high), ...back.map((point) => point.low)],
    fill: "toself",
    fillcolor: own,
    opacity: base.opacity * 0.18,
    line: { width: 0, color: own },
    hoverinfo: "skip",
    showlegend: false,
  }];
}
