import * as v from "valibot";

/** A schema's step that reads a quantity as people write it. `parse` throws a `RangeError` that ends in `: what to write`. */
export function toQuantity<I extends string | number>(parse: (text: string) => number) {
  return v.rawTransform<I, number>(({ dataset, addIssue, NEVER }) => {
    try {
      return parse(String(dataset.value));
    } catch (error) {
      const [, advice = ""] = /: (.*)$/.exec(error instanceof RangeError ? error.message : "") ?? [];
      addIssue({ message: advice });
      return NEVER;
    }
  });
}
