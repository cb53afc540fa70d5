// Numbers as people read them. What stands in the fair table is written in Python, as `compare` writes it.

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];

/** Four digits that count; none for what is not there. */
export function short(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (value === 0 || Number.isInteger(value) && Math.abs(value) < 1e6) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** With a prefix of the unit: 9.95 M. */
export function prefixed(value, unit = "") {
  if (value === null || value === undefined) return "";
  const [size, prefix] = PREFIXES.find(([own]) => Math.abs(value) >= own) || [1, ""];
  return `${Number((value / size).toPrecision(3))} ${prefix}${unit}`.trim();
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Half a minute and more in the units that one would say. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  const hours = Math.floor(whole / 3600);
  return hours < 48 ? `${hours} h ${Math.round((whole % 3600) / 60)} min` : `${Math.round(hours / 24)} days`;
}
