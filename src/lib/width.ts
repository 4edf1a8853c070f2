/** The columns that a text without controls takes on a terminal, where a Chinese character takes two. */
export function toWidth(text: string): number {
  return Bun.stringWidth(text);
}
