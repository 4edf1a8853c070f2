import { AppError } from "../../protocol/error.ts";
import { describeChange, describeService } from "../report.ts";
import { type Flags, toConfigFlags } from "../flags.ts";
import { SERVICE_ACTIONS } from "../verbs.ts";
import { inspect, install, type ServiceSystem, uninstall } from "./service.ts";
import { checkMayChange, defineService, type ServiceRequest } from "./wish.ts";

/** How `service` reaches the rest of the machine. */
export interface ServiceReach extends ServiceSystem {
  /** The pid of a server that uses the state directory already. */
  readonly findServer: () => Promise<number | undefined>;
  /** Waits until a server answers there. Throws `timed_out`. */
  readonly waitForServer: () => Promise<unknown>;
}

/** Does what `farhandd service …` asks for. Answers what to say, and the exit code. */
export async function changeService(
  flags: Flags,
  who: Omit<ServiceRequest, "isUser" | "flags">,
  reach: ServiceReach,
): Promise<{ readonly text: string; readonly code: number }> {
  const request = { ...who, isUser: Boolean(flags["user"]), flags: toConfigFlags(flags) };
  const action = parseAction(flags["action"]);
  if (flags["print"] && action !== "install")
    throw new AppError("invalid_input", `Cannot print for "${action}": --print shows what install writes`);
  const definition = defineService(request);
  const show = (value: object, text: string, code = 0) => ({
    text: flags["json"] ? JSON.stringify(value) : text,
    code,
  });
  if (flags["print"]) {
    const { manager, path, text } = definition;
    return show({ manager, path, text }, text.trimEnd());
  }
  switch (action) {
    case "install": {
      checkMayChange(request);
      const state = inspect(definition, reach);
      if (reach.isRunning && !state.running) await checkFree(request, reach);
      const change = install(definition, reach);
      if (reach.isRunning) await reach.waitForServer();
      return show(change, describeChange("installed", change, definition.advice));
    }
    case "uninstall": {
      checkMayChange(request);
      const change = uninstall(definition, reach);
      return show(change, describeChange("removed", change, undefined));
    }
    case "status": {
      const state = inspect(definition, reach);
      return show(state, describeService(state), state.running ? 0 : 3);
    }
  }
}

function parseAction(word: Flags[string]): (typeof SERVICE_ACTIONS)[number] {
  const action = SERVICE_ACTIONS.find((action) => action === word);
  if (action !== undefined) return action;
  throw new AppError(
    "invalid_input",
    `Cannot do "service${word === undefined ? "" : ` ${word}`}": say ${SERVICE_ACTIONS.join(", ")}`,
  );
}

/** A server that holds the state directory would keep the service from starting, again and again. */
async function checkFree({ state }: Pick<ServiceRequest, "state">, reach: ServiceReach): Promise<void> {
  const pid = await reach.findServer();
  if (pid === undefined) return;
  throw new AppError(
    "state_in_use",
    `Cannot install the service: farhandd with pid ${pid} uses "${state}"; stop it first, its jobs go on`,
  );
}
