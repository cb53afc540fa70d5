// The data as it came, with what stands in the pool of texts in its place, and points and ways as objects.

export function unpacked(data) {
  const texts = data.texts;
  const text = (cell) => (Array.isArray(cell) ? texts[cell[0]] : cell);
  for (const table of data.tables) {
    for (const line of table.lines) {
      Object.assign(line, { group: texts[line.group], command: texts[line.command], cells: line.cells.map(text) });
    }
  }
  for (const answer of data.answers) Object.assign(answer, { group: texts[answer.group], command: texts[answer.command] });
  for (const figure of data.sections.flatMap((section) => section.figures)) {
    for (const series of figure.series ?? []) {
      series.points = series.points.map(([x, y, low, high, said, command, group]) => ({ x, y, low, high, text: said, command: texts[command], group: texts[group] }));
    }
    if (figure.ways) {
      figure.ways = figure.ways.map(([values, said, command, group, series, colour]) => ({ values, text: said, command: texts[command], group: texts[group], series, colour }));
    }
  }
  delete data.texts;
  return data;
}
