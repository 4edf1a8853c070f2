import { AppError } from "../error.ts";
import { MAX_VALUE_DEPTH, MAX_VALUE_ITEMS } from "../limits.ts";
import { fieldsOf } from "./exception.ts";
import { refused, type Visitor, visit } from "./visit.ts";

/** Characters of where something is. */
const MAX_PATH = 80;

/**
 * Everything in a value that is there more than once, or within itself. Throws `invalid_input` for what is no data, telling
 * where, and for a value that is too deep or has too many items.
 */
export function findRepeated(value: unknown): ReadonlySet<object> {
  const survey = new Survey();
  survey.go("", value);
  return survey.repeated;
}

class Survey implements Visitor<void> {
  readonly repeated = new Set<object>();
  readonly #seen = new Set<object>();
  /** The keys that lead to where it is. */
  readonly #path: string[] = [];
  #items = 0;

  go(key: string, value: unknown): void {
    if (++this.#items > MAX_VALUE_ITEMS) throw refused(`has more than ${MAX_VALUE_ITEMS} items`);
    if (typeof value === "object" && value !== null) {
      if (this.#seen.has(value)) {
        this.repeated.add(value);
        return;
      }
      this.#seen.add(value);
    }
    this.#path.push(key);
    try {
      visit(value, this);
    } catch (error) {
      throw this.#locate(error);
    }
    this.#path.pop();
  }

  primitive(): void {}
  date(): void {}
  regExp(): void {}
  url(): void {}
  typed(): void {}
  buffer(): void {}
  view(): void {}

  array(value: readonly unknown[]): void {
    this.#enter();
    if (value.length > MAX_VALUE_ITEMS) throw refused(`has more than ${MAX_VALUE_ITEMS} items`);
    for (let index = 0; index < value.length; index++) this.go(`[${index}]`, value[index]);
  }

  object(value: Readonly<Record<string, unknown>>): void {
    this.#enter();
    for (const key of Object.keys(value)) this.#field(key, value[key]);
  }

  map(value: ReadonlyMap<unknown, unknown>): void {
    this.#enter();
    for (const [key, item] of value) {
      this.go("<key>", key);
      this.go("<value>", item);
    }
  }

  set(value: ReadonlySet<unknown>): void {
    this.#enter();
    for (const item of value) this.go("<item>", item);
  }

  error(value: Error): void {
    this.#enter();
    for (const [key, item] of fieldsOf(value)) this.#field(key, item);
  }

  /** One level deeper: as many as there are keys that lead here. */
  #enter(): void {
    if (this.#path.length > MAX_VALUE_DEPTH) throw refused(`is nested deeper than ${MAX_VALUE_DEPTH} levels`);
  }

  /** A name is an item too. */
  #field(key: string, value: unknown): void {
    this.#items++;
    this.go(`.${key}`, value);
  }

  /** Says where it is, once. */
  #locate(error: unknown): unknown {
    const path = this.#path.join("");
    if (!(error instanceof AppError) || error.details !== undefined || path === "") return error;
    const where = path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}…` : path;
    return new AppError(error.code, `${error.message} (at "${where}")`, { details: { path: where } });
  }
}
