// The figures of one kind: all of a few, of many the one that is chosen.

import { isOfTable, onChoice } from "./choice.js";
import { el, inOrder, refill } from "./elements.js";
import { figureOf } from "./figure.js";

const FEW = 3;

export function figuresOfKind(palette) {
  const drawn = new Map();
  const choice = el("div"), list = el("div", { class: "figures" });
  const node = el("div", { class: "kind" }, choice, list);
  let picked = null;

  function there() {
    return [...drawn.values()].filter((one) => isOfTable(one.figure.table));
  }

  function show() {
    const found = there();
    const many = found.length > FEW;
    if (many && !found.some((one) => one.figure.id === picked)) picked = found[0].figure.id;
    for (const one of drawn.values()) {
      one.wanted = !many || one.figure.id === picked;
      one.seen();
    }
    node.hidden = found.length === 0;
    refill(choice, many ? el("label", { class: "field tables" }, `One of ${found.length} charts`, el("select", {
      "data-key": `chart ${found[0].figure.kind}`,
      onchange: (event) => { picked = event.target.value; show(); },
    }, found.map((one) => el("option", { value: one.figure.id, selected: one.figure.id === picked }, [one.figure.title, !one.figure.table && one.figure.note].filter(Boolean).join(" · "))))) : null);
  }

  function update(figures) {
    const ids = new Set(figures.map((figure) => figure.id));
    for (const [id, one] of drawn) {
      if (ids.has(id)) continue;
      one.node.remove();
      drawn.delete(id);
    }
    for (const figure of figures) {
      const one = drawn.get(figure.id);
      if (one) one.update(figure);
      else drawn.set(figure.id, figureOf(figure, palette, figures.length <= FEW));
    }
    inOrder(list, figures.map((figure) => drawn.get(figure.id).node));
    show();
  }

  onChoice(show);
  return { node, update };
}
