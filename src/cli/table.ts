import type { Paint } from "./output.ts";

export interface Column<Row> {
  title: string;
  value(row: Row): string | number | null;
  align?: "left" | "right";
  /** Style of a cell, by its row. */
  style?(row: Row): Parameters<Paint>[0] | null;
}

/**
 * Rows under titles, as wide as their longest cell. Cells are made harmless first: names come from agents and engines,
 * and a terminal obeys control characters.
 *
 * @param total A last row, set apart by a rule.
 */
export function renderTable<Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: readonly Row[],
  paint: Paint,
  total?: Row,
): string {
  const all = total === undefined ? rows : [...rows, total];
  const cells = all.map((row) => columns.map((column) => harmless(String(column.value(row) ?? "–"))));
  const widths = columns.map(({ title }, at) => Math.max(width(title), ...cells.map((line) => width(line[at] ?? ""))));
  const lines = [
    line(
      columns.map(({ title }) => title),
      () => "bold",
    ),
  ];
  for (const [at, row] of all.entries()) {
    if (total !== undefined && at === all.length - 1) {
      lines.push(paint("dim", widths.map((one) => "─".repeat(one)).join("  ")));
    }
    lines.push(line(cells[at] ?? [], (column) => column.style?.(row) ?? null));
  }
  return lines.join("\n");

  function line(texts: readonly string[], style: (column: Column<Row>) => Parameters<Paint>[0] | null): string {
    const padded = columns.map((column, at) => {
      const text = texts[at] ?? "";
      const room = " ".repeat((widths[at] ?? 0) - width(text));
      const isLast = at === columns.length - 1;
      const wanted = style(column);
      const painted = wanted === null ? text : paint(wanted, text);
      return column.align === "right" ? `${room}${painted}` : isLast ? painted : `${painted}${room}`;
    });
    return padded.join("  ");
  }
}

/** Text without control, format and line-separating characters: escape sequences and right-to-left tricks. */
export function harmless(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\uFFFD");
}

function width(text: string): number {
  return [...text].length;
}
