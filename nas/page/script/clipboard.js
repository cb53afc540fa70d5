// What a button copies.

import { el, say } from "./elements.js";

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copySelected(text);
  }
  say("Copied");
  const before = button.textContent;
  if (before === "Copied") return;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

/** Where a page may not write to the clipboard, as some browsers have it for files. */
function copySelected(text) {
  const area = el("textarea", { class: "sr-only" });
  area.value = text;
  document.body.append(area);
  const active = document.activeElement;
  area.select();
  document.execCommand("copy");
  area.remove();
  active?.focus();
}

export function copyButton(label, text, attributes = {}) {
  return el("button", { type: "button", ...attributes, onclick: (event) => copy(typeof text === "function" ? text() : text, event.currentTarget) }, label);
}

export function command(text) {
  // A flag is not broken after its hyphens.
  const words = text.split(/(\s--?[\w-]+)/).map((part, place) => (place % 2 ? [" ", el("span", { class: "flag" }, part.trim())] : part));
  return el("div", { class: "command" }, el("code", {}, words), copyButton("Copy", text, { "aria-label": `Copy the command ${text}` }));
}
