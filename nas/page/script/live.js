// A page that is served asks every few seconds what runs now, which is little, and for all of its data where that has changed; an
// unchanged state is answered with 304 and costs nothing.

import { el, refill } from "./elements.js";

export function beginLive(live, version, redraw, showNow) {
  let tag = null, failures = 0;

  function show(text) {
    refill(document.getElementById("live"), el("span", { class: "small quiet" }, text));
  }

  async function asked(url) {
    const answer = await fetch(url, { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  }

  async function ask() {
    if (!document.hidden) {
      try {
        const answer = await fetch(live.now, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
        if (answer.status === 200) {
          const now = await answer.json();
          if (now.version !== version || !showNow(now)) {
            const whole = await asked(live.url);
            redraw(whole);
            version = whole.running.version;
          }
          tag = answer.headers.get("ETag");
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
