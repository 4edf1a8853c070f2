import { beforeAll, expect, test } from "bun:test";
import { verbs } from "../../../src/cli/verbs.ts";
import { run } from "../../support/cli.ts";
import { openCustomServer } from "../../support/custom-server.ts";
import { openFakeServer } from "../../support/fake-server.ts";

const setup = () => openCustomServer(() => {});

// Completion waits for a moment only, in which nothing should have to be loaded for the first time.
beforeAll(async () => void (await Promise.all(Object.values(verbs).map((load) => load()))));

test("Completion knows the commands of a server's own: names, options, and the values that there are", async () => {
  await using server = setup();
  const words = async (...line: readonly string[]) => {
    const given = [...line.slice(0, -1), `=${line.at(-1)}`];
    const { code, stdout, stderr } = await run(["completion", "powershell", "--", ...given], { server });
    expect([code, stderr]).toEqual([0, ""]);
    return stdout.split("\n").filter(Boolean);
  };
  expect(await words("depl")).toEqual(["deploy-all\tDeploy to everywhere"]);
  expect(await words("help", "night")).toEqual(["nightly\tRun every night"]);
  expect(await words("call", "night")).toEqual(["nightly\tRun every night"]);
  expect(await words("deploy_all", "--mo")).toEqual(['--mode\tone of fast, slow; default "fast"']);
  expect(await words("deploy-all", "--mode", "")).toEqual(["fast", "slow"]);
  expect(await words("deploy-all", "--mode=s")).toEqual(["--mode=slow"]);
  expect(await words("nightly", "--on-disconnect", "")).toEqual(["keep", "kill"]);
  expect(await words("nightly", "--max-ex")).toEqual([
    "--max-exec-time\tEnd the job when it has run so long",
  ]);
  expect(await words("bogus", "--x")).toEqual([]);
  expect(await words("is-al")).toEqual([expect.stringContaining("is-alive")]);
});

test.each([
  ["bash", ["farhand -H %s nigh", " "], "words\nnightly \n"],
  ["zsh", ["-H", "%s", "nigh"], "word\tnightly\tRun every night\n"],
  ["fish", ["-H", "%s", "nigh"], "nightly\tRun every night\n"],
] as const)("Completion in %s asks the server that the line names", async (shell, line, shown) => {
  await using server = setup();
  const words = line.map((word) => word.replace("%s", server.url));
  const { stdout } = await run(["completion", shell, "--", ...words]);
  expect(stdout.replaceAll(" ", "")).toBe(shown.replaceAll(" ", ""));
});

test("Completion offers what farhand knows itself where the server is silent", async () => {
  await using server = openFakeServer({ answer: () => {} });
  const { stdout } = await run(["completion", "powershell", "--", "=is-"], { server });
  expect(stdout).toStartWith("is-alive\t");
});
