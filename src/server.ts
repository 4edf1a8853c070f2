import { describeError } from "./lib/log.ts";
import { AppError } from "./protocol/error.ts";

// One executable is the server, its keepers, its runners and its launchers: only what it was started as is loaded.
const [verb, ...rest] = process.argv.slice(2);
if (verb === "launch") {
  const { launch } = await import("./process/launch.ts");
  launch(); // our stdin, stdout and stderr are the program's already: nothing here may touch them
  process.exit(1);
}
if (verb === "runner") {
  const { endAs, runRunner } = await import("./farhandd/runner.ts");
  // Where it fails, whoever we did it for has gone.
  endAs(await runRunner(rest).catch(() => ({ type: "exited", code: 0 }) as const));
}
if (verb === "build-module") {
  const { runBuild } = await import("./farhandd/module.ts");
  await runBuild(rest);
  process.exit(0); // whatever the module has left running
}
/** Aborted when whoever read us has gone. */
const reader = new AbortController();
process.stdout.on("error", () => reader.abort(new AppError("cancelled", "Nobody reads this any more")));
process.stderr.on("error", () => {});
try {
  if (verb === "keeper") {
    const { runKeeper } = await import("./farhandd/keeper.ts");
    await runKeeper(rest);
  } else {
    const { main } = await import("./farhandd/main.ts");
    await main(process.argv.slice(2), reader.signal);
  }
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`farhandd: ${error instanceof AppError ? error.message : describeError(error)}\n`);
}
