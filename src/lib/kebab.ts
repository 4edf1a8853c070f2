/** A name as Farhand writes it, from any of its spellings: `deployAll` and `deploy_all` are `deploy-all`. */
export function toKebab(name: string): string {
  return name
    .replace(/(?<=[a-z\d])[A-Z]/g, (letter) => `-${letter}`)
    .replaceAll("_", "-")
    .toLowerCase();
}
