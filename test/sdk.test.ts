import { expect, test } from "bun:test";
import * as v from "valibot";
import { exports } from "../package.json";
import * as authoring from "../src/module/authoring.ts";
import * as sdk from "../src/sdk.ts";

/** Types that a declaration file of a module must be able to name, where the SDK is installed. Nobody runs it. */
export const task: sdk.TaskDefinition<number, number> = sdk.defineTask({ exec: (_, state) => state });
export const pack: sdk.PackDefinition<v.NumberSchema<undefined>, number> = sdk.definePack({
  name: "pack",
  config: v.number(),
  commands: [],
});
export type Command = sdk.CommandDefinition;

test("the SDK is what the package exports, and has all that a module may import", () => {
  expect(exports).toBe("./src/sdk.ts");
  expect(sdk).toMatchObject({ ...authoring });
});
