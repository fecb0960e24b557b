import { type ServerResponse, STATUS_CODES } from "node:http";
import { REFUSAL_STATUS, type Refusal, writeJson } from "./handshake.ts";

/** Answers a request of the handshake with JSON. */
export function replyJson(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, headers(body));
  response.end(body);
}

/** Refuses a request of the handshake and closes the connection. */
export function replyRefusal(response: ServerResponse, refused: Refusal): void {
  const body = writeJson(refused);
  response.writeHead(statusOf(refused), { ...headers(body), ...retryAfter(refused), connection: "close" });
  response.end(body);
}

/** A refusal as the bytes of an HTTP/1.1 answer, for a socket that was taken over for an upgrade. */
export function refusalText(refused: Refusal): string {
  const body = writeJson(refused);
  const status = statusOf(refused);
  const fields = Object.entries({ ...headers(body), ...retryAfter(refused), connection: "close" });
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function statusOf(refused: Refusal): number {
  return (REFUSAL_STATUS as Readonly<Record<string, number>>)[refused.code] ?? 400;
}

function headers(body: string): Record<string, string> {
  return {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
  };
}

function retryAfter(refused: Refusal): Record<string, string> {
  return refused.retryAfterSeconds > 0 ? { "retry-after": String(Math.ceil(refused.retryAfterSeconds)) } : {};
}
