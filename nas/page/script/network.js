// The picture of a decoupled network: a row a block with its units, its head and its loss, where the gradient stops, and what each
// block costs as bars on one scale.

import { el, shape } from "./elements.js";
import { prefixed } from "./numbers.js";

const BOX = 13, GAP = 3; // of a unit, in pixels
const SHORTER = { parameters: "params", activations: "peak" }; // names of costs where there is little room
const WIDE = { width: 780, frame: 216, head: 292, headWidth: 176, bars: 500, bar: 80, between: 14 };
const NARROW = { width: 344, frame: 150, head: 182, headWidth: 162, bars: 8, bar: 96, between: 10 };

/** Of bytes in MiB, as tables have them; what else a cost is in stands in its heading. */
function amount(value, unit) {
  return unit === "bytes" ? `${Number((value / 2 ** 20).toPrecision(3))} MiB` : prefixed(value);
}

export function networkPicture(network) {
  const box = el("div", { class: "network" });
  let narrow = null;
  const draw = () => {
    const now = box.clientWidth > 0 && box.clientWidth < 640;
    if (now === narrow) return;
    narrow = now;
    box.replaceChildren(picture(network, narrow ? NARROW : WIDE, narrow));
  };
  new ResizeObserver(draw).observe(box);
  draw();
  return [box, numbers(network)];
}

function picture(network, plan, narrow) {
  const costs = network.costs;
  const shares = costs.some((cost) => cost.head_values.length > 0);
  const room = Math.floor((plan.frame - 16) / (BOX + GAP));
  const drawn = [];
  let y = narrow || !costs.length ? 24 : 40;
  if (!narrow) costs.forEach((cost, place) => drawn.push(text(plan.bars + place * (plan.bar + plan.between), 16, cost.short, "quiet")));
  drawn.push(text(8, 14, network.input ?? "input", "quiet"));
  network.blocks.forEach((block, place) => {
    const lines = Math.ceil(block.units.length / room);
    const height = Math.max(34, 14 + lines * (BOX + GAP));
    drawn.push(arrow(20, y - 8, y));
    drawn.push(...blockOf(block, plan, room, y, height), ...headOf(block, place, plan, y, height));
    const barsY = narrow ? y + height + 8 : y + height / 2 - 7;
    costs.forEach((cost, number) => drawn.push(...barOf(cost, place, plan.bars + number * (plan.bar + plan.between), barsY, plan.bar, narrow)));
    y += height + (narrow && costs.length ? 44 : 0);
    if (place === network.blocks.length - 1) return;
    drawn.push(shape("path", { class: "flow", d: `M20 ${y}v22` }));
    if (network.joint) drawn.push(text(34, y + 16, "the gradient goes on", "quiet"));
    else {
      drawn.push(shape("path", { class: "stop", d: `M12 ${y + 9}h16M12 ${y + 14}h16` }));
      drawn.push(text(34, y + 16, place === 0 ? "no gradient crosses here" : "no gradient", "stopped"));
    }
    y += 30;
  });
  if (shares) {
    drawn.push(shape("rect", { class: "share", x: 8, y: y + 10, width: 14, height: 7, rx: 2 }), text(27, y + 18, "the block", "quiet"));
    drawn.push(shape("rect", { class: "share of-head", x: 98, y: y + 10, width: 14, height: 7, rx: 2 }), text(117, y + 18, narrow ? "its head, and all else for training" : "its head and what else only training needs", "quiet"));
    y += 20;
  }
  return shape("svg", { role: "img", "aria-label": network.text, width: plan.width, height: y + 6, viewBox: `0 0 ${plan.width} ${y + 6}` }, drawn);
}

function text(x, y, content, kind) {
  return shape("text", { x, y, class: kind ?? null }, content);
}

function arrow(x, from, to) {
  return shape("path", { class: "tip", d: `M${x} ${to}l-4 -7h8z` });
}

function blockOf(block, plan, room, y, height) {
  const units = block.units.map((unit, number) => shape("rect", {
    class: "unit", x: 16 + (number % room) * (BOX + GAP), y: y + 9 + Math.floor(number / room) * (BOX + GAP), width: BOX, height: BOX, rx: 2.5,
  }, shape("title", {}, unit)));
  return [shape("rect", { class: "frame", x: 8, y, width: plan.frame, height, rx: 7 }), units.length ? units : text(18, y + height / 2 + 4, block.range)];
}

function headOf(block, place, plan, y, height) {
  const middle = y + height / 2, from = 8 + plan.frame;
  const most = Math.floor((plan.headWidth - 14) / 6.6);
  const shown = block.head.length > most ? `${block.head.slice(0, most - 1)}…` : block.head;
  return [
    shape("path", { class: "flow", d: `M${from} ${middle}H${plan.head - 7}` }),
    shape("path", { class: "tip", d: `M${plan.head} ${middle}l-7 -4v8z` }),
    shape("rect", { class: "head", x: plan.head, y: middle - 16, width: plan.headWidth, height: 32, rx: 6 }, shape("title", {}, block.head)),
    text(plan.head + 8, middle - 2, shown),
    text(plan.head + 8, middle + 11, block.loss ?? `loss ${place + 1}`, "quiet"),
  ];
}

/** Of one block and one cost; what the head takes is fainter, behind what the block takes. */
function barOf(cost, place, x, y, width, narrow) {
  const value = cost.values[place], head = cost.head_values[place] ?? 0;
  if (value === null || value === undefined) return [text(x, y + 11, "not known", "quiet")];
  const full = Math.max(...cost.values.map((one, number) => (one ?? 0) + (cost.head_values[number] ?? 0)), 1e-30);
  const own = width * value / full;
  return [
    shape("rect", { class: "scale", x, y, width, height: 7, rx: 2 }),
    shape("rect", { class: "share", x, y, width: Math.max(own, 0.8), height: 7, rx: 2 }),
    head > 0 && shape("rect", { class: "share of-head", x: x + own, y, width: Math.max(width * head / full, 0.8), height: 7, rx: 2 }),
    text(x, y + 21, `${narrow ? `${SHORTER[cost.short] ?? cost.short} ` : ""}${amount(value + head, cost.unit)}`, "quiet"),
  ];
}

function numbers(network) {
  const costs = network.costs;
  const cell = (cost, place) => {
    const value = cost.values[place], head = cost.head_values[place];
    if (value === null || value === undefined) return "not known";
    return head ? `${amount(value, cost.unit)} + ${amount(head, cost.unit)}` : amount(value, cost.unit);
  };
  return el("details", { class: "no-paper small" }, el("summary", { class: "quiet" }, "The numbers"), el("div", { class: "box", tabindex: 0, role: "region", "aria-label": "Numbers of the blocks", style: "margin-top:.5rem" }, el("table", {},
    el("thead", {}, el("tr", {}, ["block", "units", "head", ...costs.map((cost) => cost.label)].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, network.blocks.map((block, place) => el("tr", {}, el("th", { scope: "row" }, String(place + 1)), el("td", {}, block.range), el("td", {}, block.head), costs.map((cost) => el("td", {}, cell(cost, place)))))))));
}
