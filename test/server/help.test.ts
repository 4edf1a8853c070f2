import { expect, test } from "bun:test";
import { usage } from "../../src/server/help.ts";
import { isVerb, verbs } from "../../src/server/verbs.ts";

test("usage() tells of every verb, and of one with its options", async () => {
  const all = await usage(undefined, "1.0.0", false);
  for (const word of ["serve", "start", "stop", "status", "service", "reload", "fingerprint"])
    expect(all).toContain(word);
  expect(await usage("stop", "1.0.0", false)).toContain("--grace=<duration>");
});

test("usage() tells what a verb can be told to do, and of each what it is for, with examples", async () => {
  const token = await usage("token", "1.0.0", false);
  for (const word of ["create", "list", "revoke", "rotate"]) expect(token).toContain(`  ${word} `);
  for (const [verb, word] of [
    ["token", "create"],
    ["user", "add"],
    ["invite", undefined],
  ] as const)
    expect(await usage(verb, "1.0.0", false, word)).toMatch(/EXAMPLES\n\n {2}farhandd /);
  expect(await usage("token", "1.0.0", false, "create")).toContain("farhandd token create");
});

test("usage() has examples of every verb and of every word behind one", async () => {
  for (const [verb, definition] of Object.entries(verbs)) {
    if (!isVerb(verb)) continue;
    const words = "actions" in definition ? Object.keys(definition.actions) : [undefined];
    for (const word of words)
      expect(await usage(verb, "1.0.0", false, word), `${verb} ${word}`).toMatch(/EXAMPLES\n\n {2}farhandd /);
  }
});
