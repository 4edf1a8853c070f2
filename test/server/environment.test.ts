import { expect, test } from "bun:test";
import { toJobEnvironment } from "../../src/server/environment.ts";

test("toJobEnvironment() passes on every variable but those that steer Bun or Farhand", () => {
  const passed = '{"__proto__":"a","PATH":"/bin","constructor":"b","prototype":"c","MY_BUN_":"d","BUN":"e"}';
  const steering = {
    BUN_OPTIONS: "x",
    bun_be_bun: "x",
    FARHAND_TOKEN: "x",
    Farhand_State: "x",
    absent: undefined,
  };
  expect(JSON.stringify(toJobEnvironment({ ...JSON.parse(passed), ...steering }))).toBe(passed);
});
