// The lines of a table as text for other programs: what is shown, in the order in which it is shown.

function cellsOf(columns, lines, shown) {
  return lines.map((line) => columns.map((column) => {
    const place = column.place;
    if (!shown) return line.cells[place] === null ? "" : String(line.cells[place]);
    return line.shown[place] ?? (line.cells[place] === null ? "" : String(line.cells[place]));
  }));
}

function headings(columns) {
  return columns.map((column) => (column.unit ? `${column.label} (${column.unit})` : column.label));
}

/** Raw numbers. A cell that a spreadsheet would take for a formula begins with an apostrophe, as `compare --out` writes it. */
export function asCsv(columns, lines) {
  const quoted = (cell) => {
    const safe = /^[=+\-@\t\r]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : cell;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [columns.map((column) => column.key), ...cellsOf(columns, lines, false)].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

export function asMarkdown(columns, lines) {
  const escaped = (cell) => cell.replace(/[\\|<>*_`[\]]/g, "\\$&").replace(/\s+/g, " ");
  const row = (cells) => `| ${cells.join(" | ")} |\n`;
  const rule = columns.map((column) => (column.numeric ? "---:" : "---"));
  return row(headings(columns).map(escaped)) + row(rule) + cellsOf(columns, lines, true).map((cells) => row(cells.map(escaped))).join("");
}

const LATEX = { "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "%": "\\%", "&": "\\&", "#": "\\#", $: "\\$", _: "\\_", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$", "<": "\\textless{}", ">": "\\textgreater{}" };

export function asLatex(columns, lines) {
  const escaped = (cell) => cell.replace(/[\\{}%&#$_~^±−<>]/g, (sign) => LATEX[sign]).replace(/\s+/g, " ");
  const row = (cells) => `  ${cells.map(escaped).join(" & ")} \\\\\n`;
  const body = cellsOf(columns, lines, true).map(row).join("");
  return `\\begin{tabular}{${columns.map((column) => (column.numeric ? "r" : "l")).join("")}}\n  \\toprule\n${row(headings(columns))}  \\midrule\n${body}  \\bottomrule\n\\end{tabular}\n`;
}
