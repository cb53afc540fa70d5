// A page that is served takes new data every few seconds; an unchanged state is answered with 304 and costs nothing.

import { el, refill } from "./elements.js";

export function beginLive(live, redraw) {
  const state = document.getElementById("live");
  let tag = null, failures = 0;

  function show(text) {
    refill(state, el("span", { class: "small quiet" }, text));
  }

  async function ask() {
    if (!document.hidden) {
      try {
        const answer = await fetch(live.url, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
        if (answer.status === 200) {
          tag = answer.headers.get("ETag");
          redraw(await answer.json());
        } else if (answer.status !== 304) throw new Error(`status ${answer.status}`);
        failures = 0;
        show(`Live · looked at ${new Date().toLocaleTimeString()}`);
      } catch {
        failures += 1;
        show("Not live: the program that served this page does not answer");
      }
    }
    setTimeout(ask, 1000 * live.seconds * Math.min(2 ** failures, 16));
  }

  setTimeout(ask, 1000 * live.seconds);
}
