import { describe, expect, test } from "bun:test";
import { complete, listVerbs, type Vocabulary } from "../../../src/cli/complete/complete.ts";
import { findTopic, verbs } from "../../../src/cli/verbs.ts";

/** What a line may go on as, with a server that has one of everything. `given`: what its options said of which server. */
async function at(...line: string[]) {
  let given: Readonly<Record<string, string>> = {};
  const vocabulary: Vocabulary = {
    find: findTopic,
    verbs: () => listVerbs(Object.entries(verbs)),
    toSource(options) {
      given = Object.fromEntries(options);
      return {
        hosts: async () => [{ value: "web1" }],
        keptHosts: async () => [{ value: "kept1" }],
        jobs: async (isRunning) => [{ value: isRunning ? "7" : "3" }],
        workspaces: async () => [{ value: "build" }],
        tasks: async () => [{ value: "counter" }],
        paths: async (text) => [{ value: `${text}x/`, isOpen: true }],
      };
    },
  };
  const { candidates, isLocal = false } = await complete(line.slice(0, -1), line.at(-1) ?? "", vocabulary);
  return { words: candidates.map(({ value }) => value), given, isLocal };
}
const words = async (...line: string[]) => (await at(...line)).words;

describe("complete()", () => {
  test("offers verbs, those of a group, options, and verbs that help is wanted for", async () => {
    expect(await words("is-")).toEqual(["is-alive"]);
    expect(await words("-H", "web1", "--json", "job", "")).toEqual(["show", "label", "remove", "prune"]);
    expect(await words("jobs", "--wat")).toEqual(["--watch"]);
    expect(await words("--work")).toEqual(["--workspace"]);
    expect(await words("help", "jo")).toEqual(["jobs", "job", "join"]);
    expect(await words("nonsense", "")).toEqual([]);
  });

  test("offers what a server has, where such a thing is named", async () => {
    expect(await words("kill", "")).toEqual(["7"]);
    expect(await words("follow", "1", "")).toEqual(["3"]);
    expect(await words("job", "show", "")).toEqual(["3"]);
    expect(await words("ls", "-l", "/sr")).toEqual(["/srx/"]);
    expect(await words("mv", "a", "b")).toEqual(["bx/"]);
    expect(await words("-w", "")).toEqual(["build"]);
    expect(await words("workspace", "remove", "")).toEqual(["build"]);
    expect(await words("task", "exec", "")).toEqual(["counter"]);
    expect(await words("task", "start", "")).toEqual([]);
    expect((await at("task", "start", "counter", "")).isLocal).toBe(true);
    expect(await words("-H", "")).toEqual(["web1"]);
    expect(await words("host", "remove", "")).toEqual(["kept1"]);
    expect(await words("login", "")).toEqual(["kept1"]);
    expect(await words("exec", "--cwd=/a")).toEqual(["--cwd=/ax/"]);
    expect(await words("exec", "--cwd", "/a")).toEqual(["/ax/"]);
  });

  test("offers the few values that an option has", async () => {
    expect(await words("--log-level", "w")).toEqual(["warn"]);
    expect(await words("kill", "--signal=K")).toEqual(["--signal=KILL"]);
    expect(await words("completion", "f")).toEqual(["fish"]);
  });

  test("takes a program's words for files, and not for options", async () => {
    expect(await words("exec", "make", "--js")).toEqual(["--jsx/"]);
    expect(await words("exec", "--", "--js")).toEqual([]);
    expect(await words("exec", "ma")).toEqual([]);
  });

  test("leaves files of this machine to the shell", async () => {
    expect(await at("--state", "")).toMatchObject({ isLocal: true, words: [] });
    expect(await at("console", "-f", "")).toMatchObject({ isLocal: true });
    expect(await at("--token-file", "")).toMatchObject({ isLocal: true });
  });

  test("knows which server is meant", async () => {
    expect((await at("-Hweb1", "--workspace=build", "kill", "")).given).toEqual({
      host: "web1",
      workspace: "build",
    });
    expect((await at("kill", "--host", "web2", "")).given).toEqual({ host: "web2" });
  });
});
