import type { IBuffer, IBufferCell } from "@xterm/headless";
import { toStyle } from "./style.ts";

/** The whole of a screen that is empty: what is not painted stays as it is. Wrapped lines are painted as such. */
export function paintRows(buffer: IBuffer, { columns, rows }: { columns: number; rows: number }): string {
  let painting = "";
  let isFull = false;
  for (let row = 0; row < rows; row++) {
    const line = buffer.getLine(buffer.baseY + row);
    if (line === undefined) continue;
    const cells = Array.from({ length: columns }, (_, column) => line.getCell(column)).filter(
      (cell) => cell !== undefined,
    );
    const goesOn = isFull && line.isWrapped && cells[0] !== undefined && !isBlank(cells[0]);
    painting += paintRow(cells, row, goesOn);
    const last = cells.at(-1);
    isFull = last !== undefined && !isBlank(last);
  }
  return painting;
}

/** `goesOn`: the cursor is behind the last cell of the row above, so that what is written wraps into this one. */
function paintRow(cells: readonly IBufferCell[], row: number, goesOn: boolean): string {
  let painting = "";
  let style: string | undefined;
  let cursor = goesOn ? 0 : undefined;
  cells.forEach((cell, column) => {
    if (cell.getWidth() === 0 || isBlank(cell)) return;
    if (cursor !== column) painting += moveTo(row, column);
    const wanted = toStyle(cell);
    if (wanted !== style) painting += style = wanted;
    const chars = cell.getChars() || " ";
    painting += chars;
    // How wide anything else is, terminals disagree about.
    cursor = /^[ -~]$/.test(chars) ? column + 1 : undefined;
  });
  return painting;
}

/** Whether it is as clearing leaves it. */
function isBlank(cell: IBufferCell): boolean {
  return cell.getChars() === "" && cell.getWidth() === 1 && cell.isAttributeDefault();
}

/** From the upper left corner, which is 0, 0. */
export function moveTo(row: number, column: number): string {
  return `\x1b[${row + 1};${column + 1}H`;
}

/**
 * Puts the cursor where it is. Behind the last column, where only what is written next goes on in the next row, it comes by
 * writing the last cell. `top`: the row from which rows are counted.
 */
export function paintCursor(buffer: IBuffer, columns: number, top: number): string {
  const { cursorX, cursorY } = buffer;
  if (cursorX < columns) return moveTo(cursorY - top, cursorX);
  const line = buffer.getLine(buffer.baseY + cursorY);
  const last = line?.getCell(columns - 1);
  const column = last?.getWidth() === 0 ? columns - 2 : columns - 1;
  const cell = line?.getCell(column);
  if (cell === undefined) return moveTo(cursorY - top, columns - 1);
  return `${moveTo(cursorY - top, column)}${toStyle(cell)}${cell.getChars() || " "}`;
}
