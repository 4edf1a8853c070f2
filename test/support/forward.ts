import { openProxy } from "./proxy.ts";

// Forwards from the address that is named first to the second, both `host:port`, until it is killed; says where it listens.
const [from = "", to = ""] = process.argv.slice(2);
const { hostname, port } = new URL(`tcp://${from}`);
const proxy = await openProxy(to, {}, { hostname, port: Number(port) });
console.log(proxy.address);
