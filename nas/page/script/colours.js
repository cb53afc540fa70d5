// Light and dark, and the palette of series: colours that the colour-blind tell apart, each with a marker of its own.

import { el } from "./elements.js";

const told = new Set();
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const NAMES = { auto: "As the system", light: "Light", dark: "Dark" };
let wish = kept();

function kept() {
  try {
    return localStorage.getItem("theme") in NAMES ? localStorage.getItem("theme") : "auto";
  } catch {
    return "auto";
  }
}

export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

export function wear(theme) {
  document.documentElement.dataset.theme = theme;
  for (const listener of told) listener();
}

export function wearOwn() {
  wear(wish === "auto" ? (dark.matches ? "dark" : "light") : wish);
}

export function onTheme(listener) {
  told.add(listener);
}

dark.addEventListener("change", wearOwn);
wearOwn();

export function themeSwitch() {
  const options = Object.entries(NAMES).map(([value, text]) => el("option", { value, selected: value === wish }, text));
  return el("label", { class: "field theme no-paper" }, el("span", { class: "sr-only" }, "Colours"),
    el("select", { "data-key": "theme", onchange: (event) => {
      wish = event.target.value;
      try { localStorage.setItem("theme", wish); } catch { /* a file may have no storage */ }
      wearOwn();
    } }, options));
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
