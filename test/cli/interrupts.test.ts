import { expect, test } from "bun:test";
import { findIgnored, type Interrupt, Interrupts } from "../../src/cli/interrupts.ts";

test("Interrupts go to the last route, and back to the one before when that is disposed", () => {
  const interrupts = new Interrupts();
  const [outer, inner]: Interrupt[][] = [[], []];
  interrupts.raise("INT");
  using _outer = interrupts.route((interrupt) => outer?.push(interrupt));
  interrupts.raise("HUP");
  {
    using _inner = interrupts.route((interrupt) => inner?.push(interrupt));
    interrupts.raise("TERM");
  }
  interrupts.raise("INT");
  expect([outer, inner]).toEqual([["HUP", "INT"], ["TERM"]]);
});

test.if(process.platform === "linux")("findIgnored() names what our starter ignores", () => {
  const script = `import { findIgnored } from "${import.meta.dir}/../../src/cli/interrupts.ts"; console.log(findIgnored().join());`;
  const run = (line: string) =>
    Bun.spawnSync(["sh", "-c", `${line}; exec "$0" -e "$1"`, process.execPath, script])
      .stdout.toString()
      .trim();
  expect(run("trap '' HUP TERM")).toBe("TERM,HUP");
  expect(run("trap '' INT")).toBe("INT");
  expect(findIgnored()).toEqual([]);
});
