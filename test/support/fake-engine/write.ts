import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import type { Behaviour } from "./behaviour.ts";
import type { Clothes } from "./clothes.ts";
import type { Format, StreamParts } from "./format.ts";
import type { Json } from "./json.ts";

/** Shortest pause of a stream that never ends, so that it does not fill the machine. */
const ENDLESS_PAUSE_MS = 5;

/** Writes a whole answer, or breaks while doing so. */
export function writeWhole(
  response: ServerResponse,
  status: number,
  body: Json,
  behaviour: Behaviour = { kind: "answer" },
  slowLoadMs = 0,
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  const head = () =>
    response.writeHead(status, { "content-type": "application/json", "content-length": String(bytes.length) });
  switch (behaviour.kind) {
    case "stall":
    case "endless":
      return;
    case "cut":
      head().write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
      return;
    case "slow-load":
      void wait(slowLoadMs).then(() => head().end(bytes));
      return;
    default:
      head().end(bytes);
  }
}

/** Writes a stream, or breaks while doing so. Slows down for a slow caller; ends when the caller leaves. */
export function writeStream(
  response: ServerResponse,
  format: Format,
  parts: StreamParts,
  behaviour: Behaviour,
  clothes: Clothes,
  speed: { slowLoadMs: number; recordDelayMs: number },
): void {
  void run().catch(() => response.destroy());

  async function run(): Promise<void> {
    if (behaviour.kind === "slow-load") await wait(speed.slowLoadMs);
    response.writeHead(200, { "content-type": format.streamType, "cache-control": "no-cache" });
    response.flushHeaders();
    const half = Math.ceil(parts.content.length / 2);
    switch (behaviour.kind) {
      case "cut":
        await say(parts.content.slice(0, half));
        response.destroy();
        return;
      case "stall":
        await say(parts.content.slice(0, half));
        return;
      case "mid-error":
        await say([...parts.content.slice(0, half), format.midError("the fake engine has broken down", clothes)]);
        break;
      case "broken-record":
        await say([...parts.content.slice(0, half), format.brokenRecord]);
        await say([...parts.content.slice(half), ...parts.finish, parts.end]);
        break;
      case "no-finish":
        await say(parts.content);
        break;
      case "no-end":
        await say([...parts.content, ...parts.finish]);
        break;
      case "endless":
        await say(parts.content.slice(0, half));
        while (!response.destroyed) {
          await wait(Math.max(ENDLESS_PAUSE_MS, speed.recordDelayMs));
          await say(parts.content.slice(half - 1, half));
        }
        return;
      case "bytewise":
        for (const byte of Buffer.from([...parts.content, ...parts.finish, parts.end].join(""))) {
          await write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
        break;
      default:
        await say([...parts.content, ...parts.finish, parts.end]);
    }
    response.end();
  }

  async function say(records: readonly string[]): Promise<void> {
    for (const record of records) {
      if (response.destroyed) return;
      if (record !== "") await write(Buffer.from(record));
      if (speed.recordDelayMs > 0) await wait(speed.recordDelayMs);
    }
  }

  async function write(bytes: Buffer): Promise<void> {
    if (response.destroyed || response.write(bytes)) return;
    await Promise.race([once(response, "drain"), once(response, "close")]);
  }
}
