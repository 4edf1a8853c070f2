import type { IBufferCell } from "@xterm/headless";

/** What a cell can tell of its underline besides whether it has one; declared by the package for its own use only. */
interface Underlined {
  /** 1 single, 2 double, 3 curly, 4 dotted, 5 dashed. */
  getUnderlineStyle(): number;
  isUnderlineColorDefault(): boolean;
  isUnderlineColorRGB(): boolean;
  getUnderlineColor(): number;
}

/** The emulator's word for a colour that was reset: it takes that for white itself. */
const RESET_COLOR = 0xff_ffff;

/** The sequence that makes a terminal, whatever it wrote before, write as this cell is written. */
export function toStyle(cell: IBufferCell): string {
  return `\x1b[${["0", ...toAttributes(cell), ...toColors(cell), ...toUnderlineColor(cell)].join(";")}m`;
}

function toAttributes(cell: IBufferCell): string[] {
  const attributes: readonly (readonly [is: number, code: string])[] = [
    [cell.isBold(), "1"],
    [cell.isDim(), "2"],
    [cell.isItalic(), "3"],
    [cell.isUnderline(), toUnderline(cell)],
    [cell.isBlink(), "5"],
    [cell.isInverse(), "7"],
    [cell.isInvisible(), "8"],
    [cell.isStrikethrough(), "9"],
    [cell.isOverline(), "53"],
  ];
  return attributes.flatMap(([is, code]) => (is ? [code] : []));
}

/** A plain one as every terminal knows it. */
function toUnderline(cell: IBufferCell): string {
  const style = toUnderlined(cell)?.getUnderlineStyle() ?? 1;
  return style > 1 ? `4:${style}` : "4";
}

function toColors(cell: IBufferCell): string[] {
  const color = (isRgb: boolean, isPalette: boolean, value: number, base: number) => {
    if (isRgb) return [`${base + 8};2;${toRgb(value).join(";")}`];
    if (!isPalette) return [];
    if (value < 8) return [String(base + value)];
    return [value < 16 ? String(base + 60 + value - 8) : `${base + 8};5;${value}`];
  };
  return [
    ...color(cell.isFgRGB(), cell.isFgPalette(), cell.getFgColor(), 30),
    ...color(cell.isBgRGB(), cell.isBgPalette(), cell.getBgColor(), 40),
  ];
}

function toUnderlineColor(cell: IBufferCell): string[] {
  const line = toUnderlined(cell);
  if (!cell.isUnderline() || line === undefined || line.isUnderlineColorDefault()) return [];
  const color = line.getUnderlineColor();
  if (color === RESET_COLOR) return [];
  return [line.isUnderlineColorRGB() ? `58:2::${toRgb(color).join(":")}` : `58:5:${color}`];
}

/** The package's types leave this out, so that another version of it may lack it. */
function toUnderlined(cell: IBufferCell): Underlined | undefined {
  return "getUnderlineStyle" in cell ? (cell as IBufferCell & Underlined) : undefined;
}

function toRgb(color: number): readonly number[] {
  return [(color >> 16) & 0xff, (color >> 8) & 0xff, color & 0xff];
}
