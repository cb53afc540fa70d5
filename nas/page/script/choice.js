// What the reader has chosen to see, which table and charts follow together: one line of the table, or what contains some words.

const told = new Set();
const choice = { table: "", group: null, label: "", command: "", words: [], matching: new Set() };

export const chosen = choice;

export function onChoice(listener) {
  told.add(listener);
}

function changed() {
  for (const listener of told) listener();
}

/** Read one of several tables, with its answer and its charts. */
export function read(table) {
  Object.assign(choice, { table, group: null, label: "", command: "" });
  changed();
}

/** Whether what belongs to a table is that of the one that is read; what belongs to none always is. */
export function isOfTable(table) {
  return !table || table === choice.table;
}

/** Show one line alone; the same again shows all. */
export function choose(group, label, command) {
  const same = choice.group === group;
  Object.assign(choice, same ? { group: null, label: "", command: "" } : { group, label, command });
  changed();
}

export function search(text) {
  choice.words = text.toLowerCase().split(/\s+/).filter(Boolean);
  changed();
}

export function showAll() {
  Object.assign(choice, { group: null, label: "", command: "", words: [] });
  changed();
}

export function isNarrowed() {
  return choice.group !== null || choice.words.length > 0;
}

export function matches(text) {
  return choice.words.every((word) => text.includes(word));
}

/** Whether what belongs to a line of this key is shown; what belongs to none always is. */
export function isShown(group) {
  if (!group) return true;
  if (choice.group !== null && choice.group !== group) return false;
  return !choice.words.length || choice.matching.has(group) || matches(group.toLowerCase());
}
