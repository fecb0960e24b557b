import http from "node:http";
import https from "node:https";
import type { FastifyInstance } from "fastify";
import { PosternError } from "../errors.ts";
import type { Secret } from "../lib/secret.ts";
import type { AdminRequest, AdminTransport } from "./ask.ts";

/** Largest answer that is read. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** To the gateway of a data folder, over its socket. */
export function socketTransport(socketPath: string): AdminTransport {
  return {
    send: (request) =>
      exchange(request, (options) => http.request({ ...options, socketPath, host: "localhost" }), {}).catch((error) => {
        throw unreachable(
          error,
          "No gateway runs on this data folder",
          "Start it with `postern up` or `postern gateway`.",
        );
      }),
    close: async () => {},
  };
}

/** To the admin listener of a gateway, with an admin token. The caller makes sure that the way is `https:` or loopback. */
export function remoteTransport(url: URL, token: Secret): AdminTransport {
  const client = url.protocol === "https:" ? https : http;
  const headers = { authorization: `Bearer ${token.reveal()}` };
  return {
    send: (request) =>
      exchange(
        request,
        (options) => client.request({ ...options, hostname: url.hostname.replace(/^\[|\]$/g, ""), port: url.port }),
        headers,
      ).catch((error) => {
        throw unreachable(error, `Cannot reach the gateway at ${url.origin}`, "Check POSTERN_URL and the network.");
      }),
    close: async () => {},
  };
}

/** To an application in this process: the offline CLI, and tests. */
export function injectTransport(app: FastifyInstance): AdminTransport {
  return {
    async send({ method, path, body, signal }) {
      signal.throwIfAborted();
      const answer = await app.inject({
        method,
        url: path,
        ...(body === undefined
          ? {}
          : { payload: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      return { status: answer.statusCode, text: answer.payload };
    },
    close: () => app.close(),
  };
}

function exchange(
  { method, path, body, signal }: AdminRequest,
  open: (options: http.RequestOptions) => http.ClientRequest,
  extraHeaders: Record<string, string>,
): Promise<{ status: number; text: string }> {
  const payload = body === undefined ? null : Buffer.from(JSON.stringify(body));
  const headers = {
    ...extraHeaders,
    ...(payload === null ? {} : { "content-type": "application/json", "content-length": String(payload.length) }),
  };
  return new Promise((resolve, reject) => {
    const request = open({ method, path, headers, signal, agent: false });
    request.once("error", reject);
    request.once("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) response.destroy(new Error("the answer is too large"));
      });
      response.once("error", reject);
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    request.end(payload ?? undefined);
  });
}

function unreachable(cause: unknown, message: string, hint: string): unknown {
  const { name, code } = cause as NodeJS.ErrnoException;
  if (name === "AbortError" || name === "TimeoutError") {
    return new PosternError("gateway_unreachable", { message: "The gateway did not answer in time", hint, cause });
  }
  return new PosternError("gateway_unreachable", {
    message: code === "EACCES" ? `${message} that this user may talk to` : message,
    hint,
    cause,
  });
}
