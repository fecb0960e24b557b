import { STATUS_CODES } from "node:http";
import type { HttpResponse } from "../http1/response.ts";
import { REFUSAL_STATUS, type Refusal, writeJson } from "./handshake.ts";

/** Answers a request of the handshake with JSON. */
export function replyJson(response: HttpResponse, status: number, body: string): void {
  response.writeHead(status, headers(body)).end(Buffer.from(body));
}

/** Refuses a request of the handshake and closes the connection. */
export function replyRefusal(response: HttpResponse, refused: Refusal): void {
  const body = writeJson(refused);
  response.shouldKeepAlive = false;
  response.writeHead(statusOf(refused), [...headers(body), ...retryAfter(refused)]).end(Buffer.from(body));
}

/** A refusal as the bytes of an HTTP/1.1 answer, for a socket that was taken over for an upgrade. */
export function refusalText(refused: Refusal): string {
  const body = writeJson(refused);
  const status = statusOf(refused);
  const fields = [...headers(body), ...retryAfter(refused), "connection", "close"];
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`];
  for (let at = 0; at < fields.length; at += 2) lines.push(`${fields[at]}: ${fields[at + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function statusOf(refused: Refusal): number {
  return (REFUSAL_STATUS as Readonly<Record<string, number>>)[refused.code] ?? 400;
}

/** Name, value, name, value, …. */
function headers(body: string): string[] {
  const length = String(Buffer.byteLength(body));
  return ["content-type", "application/json", "content-length", length, "cache-control", "no-store"];
}

function retryAfter(refused: Refusal): string[] {
  return refused.retryAfterSeconds > 0 ? ["retry-after", String(Math.ceil(refused.retryAfterSeconds))] : [];
}
