/** A number with its noun: `1 job`, `2 jobs`. `many`: the plural, where an s does not make it. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
