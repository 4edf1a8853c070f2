import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installCommands } from "../support/own-commands.ts";
import { openRawServer } from "../support/raw-server.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  installCommands(world, "custom/own.ts");
  await world.start();
  for (const name of ["my file", "it's", "x$(touch pwned)", "new\nline"])
    writeFileSync(join(world.home, name), "");
  mkdirSync(join(world.home, "directory"));
  await world.detach("--", "sleep", "1000");
  return world;
}

/** How each shell is started, and told of us. */
const shells = {
  bash: `PS1='> ' bash --norc --noprofile`,
  zsh: `PS1='> ' zsh -f`,
  fish: `fish --no-config`,
};
const start = {
  bash: "source <(farhand completion bash); clear",
  zsh: "autoload -Uz compinit; compinit -u; source <(farhand completion zsh); clear",
  fish: "function fish_prompt; echo '> '; end; farhand completion fish | source; clear",
};

describe("farhand completion", () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const isHere = hasTmux && Bun.which(shell) !== null;
    testIf(isHere, `completion in ${shell}: there is no tmux or no ${shell}`)(
      `completes in ${shell}: verbs, options, jobs, files and commands of the server, in the quotes that they need`,
      async () => {
        await using world = await setup();
        await using screen = await openScreen(world, shells[shell]);
        await screen.shows(/[>#]$/);
        await screen.type(start[shell]);
        await screen.press("Enter");
        await screen.shows(/^>$/m);
        const finish = async (typed: string, finished: string) => {
          await screen.type(typed);
          await screen.press("Tab");
          await screen.shows(`> ${finished}`);
          await screen.press("C-u");
          await screen.shows(/>$/);
        };
        await finish("farhand is-al", "farhand is-alive");
        await finish("farhand job la", "farhand job label");
        await finish("farhand ls --recu", "farhand ls --recursive");
        await finish("farhand kill --signal=KI", "farhand kill --signal=KILL");
        await finish("farhand kill @la", "farhand kill @last");
        await finish("farhand -w default rdfile my", "farhand -w default rdfile my\\ file");
        await finish("farhand rdfile 'my f", "farhand rdfile 'my file'");
        await finish("farhand rdfile it", "farhand rdfile it\\'s");
        await finish("farhand deploy-a", "farhand deploy-all");
        await finish("farhand deploy-all --mode=sl", "farhand deploy-all --mode=slow");
        await finish("farhand count-up --max-ex", "farhand count-up --max-exec-time");
        await finish("farhand exec --cwd=dir", "farhand exec --cwd=directory/");
        await finish("farhand rdfile x", "farhand rdfile x\\$\\(touch\\ pwned\\)");
        expect(existsSync(join(world.home, "pwned"))).toBe(false);
      },
    );
  }

  test("prints a script for each shell, which can be read twice, and refuses others", async () => {
    await using world = openWorld();
    for (const shell of ["bash", "zsh", "fish", "powershell"]) {
      const { code, stdout } = await world.farhand(["completion", shell]);
      expect([code, stdout]).toEqual([0, expect.stringContaining(`farhand completion ${shell}`)]);
    }
    const twice = "set -eu; for _ in 1 2; do source <(farhand completion bash); done; complete -p farhand";
    expect((await world.shell(twice)).stdout).toBe("complete -F _farhand farhand\n");
    expect(await world.farhand(["completion", "csh"])).toMatchObject({ code: 125 });
  });

  test("tells PowerShell what words may go on as", async () => {
    await using world = await setup();
    const { stdout } = await world.farhand(["completion", "powershell", "--", "rdfile", "=my"]);
    expect(stdout).toBe("my file\n");
    expect((await world.farhand(["completion", "powershell", "--", "=is-"])).stdout).toStartWith(
      "is-alive\tTell ",
    );
  });

  test("is silent, and soon, where a server does not answer, is not there, or refuses", async () => {
    await using world = openWorld();
    using dead = openRawServer();
    for (const host of [dead.url, "http://127.0.0.1:1"]) {
      const begin = performance.now();
      const env = { FARHAND_HOST: host, FARHAND_TOKEN: "t" };
      const ran = await world.farhand(["completion", "zsh", "--", "kill", ""], { env });
      expect(ran).toMatchObject({ code: 0, stdout: "", stderr: "" });
      expect(performance.now() - begin).toBeLessThan(10_000);
    }
    expect(await world.farhand(["completion", "zsh", "--", "kill", ""])).toMatchObject({
      code: 0,
      stderr: "",
    });
  });
});
