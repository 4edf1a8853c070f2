import { Session } from "../../src/client/session.ts";
import type { Workspace } from "../../src/client/workspace.ts";
import { AppError } from "../../src/protocol/error.ts";
import type { Welcome } from "../../src/protocol/hello.ts";
import type { SessionId } from "../../src/protocol/id.ts";
import { eventually } from "./eventually.ts";
import { ServerPeer } from "./server-peer.ts";

/** The session that the first peer opens, and one that a server opens which was started again. */
export const SESSION = "0f2d4e61-0000-4000-8000-000000000001" as SessionId;
export const OTHER = "0f2d4e61-0000-4000-8000-000000000002" as SessionId;
const BROKEN = new AppError("connection_lost", "Connection lost: it broke off");

/** A welcomed session whose next connections lead to further peers, as they are opened: `cut` breaks off the last one. */
export async function openPeers(
  greeting: Partial<Welcome> = {},
  { window = 10_000, workspace }: { readonly window?: number; readonly workspace?: Workspace } = {},
) {
  const peers = [new ServerPeer()];
  const [first] = peers as [ServerPeer];
  const session = new Session(first, {
    heartbeat: 15_000,
    patience: 10_000,
    now: () => performance.now(),
    workspace,
  });
  session.persist({
    window,
    async open() {
      const peer = new ServerPeer();
      peers.push(peer);
      return peer;
    },
  });
  first.welcome({ session: SESSION, ...greeting });
  await session.welcome;
  const cut = async (): Promise<ServerPeer> => {
    const before = peers.length;
    peers.at(-1)?.cut(BROKEN);
    await eventually(() => peers.length > before && (peers.at(-1)?.heard.length ?? 0) > 0);
    return peers.at(-1) as ServerPeer;
  };
  return { session, first, peers, cut };
}
