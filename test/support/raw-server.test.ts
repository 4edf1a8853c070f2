import { expect, test } from "bun:test";
import { SUBPROTOCOL } from "../../src/protocol/hello.ts";
import { eventually } from "./eventually.ts";
import { OPCODE } from "./frame.ts";
import { openRawServer } from "./raw-server.ts";

test("openRawServer() upgrades a client, hears it and says what it is told", async () => {
  using server = openRawServer({ onOpen: (connection) => connection.text({ type: "early" }) });
  const heard: string[] = [];
  const socket = new WebSocket(server.url.replace("http", "ws"), SUBPROTOCOL);
  socket.onmessage = ({ data }) => heard.push(String(data));
  await new Promise((resolve) => (socket.onopen = resolve));
  socket.send('{"type":"hello"}');
  const [connection] = server.connections;
  await connection?.until(() => connection.said("hello").length === 1);
  connection?.frame({ opcode: OPCODE.text, fin: false, payload: "in " });
  connection?.frame({ opcode: OPCODE.continuation, payload: "parts" });
  await eventually(() => heard.length === 2);
  expect(heard).toEqual(['{"type":"early"}', "in parts"]);
  connection?.frame({ opcode: OPCODE.text, rsv: 4 });
  await eventually(() => connection?.isClosed === true);
  const last = connection?.received.at(-1);
  expect([last?.opcode, last?.payload.readUInt16BE(0)]).toEqual([OPCODE.close, 1002]);
});

test("openRawServer() answers something else than an upgrade where it is told to", async () => {
  using server = openRawServer({ answer: "HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n" });
  expect((await fetch(server.url)).status).toBe(418);
  expect(server.connections).toEqual([]);
});
