import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Pool } from "undici";

/**
 * The bare relay: the least that a reverse proxy in Node can do, as the yardstick for what Postern adds. No key, no limit, no
 * record, no failover; the caller's body and the engine's bytes are passed on as they come, with back-pressure.
 *
 * Environment: ENGINE_URL; TLS_CERT and TLS_KEY (files) to speak TLS. Prints {"port":N}; ends when its standard input ends.
 */
const engine = new Pool(process.env["ENGINE_URL"] ?? "", {
  connections: null,
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
});

function relay(request: IncomingMessage, response: ServerResponse): void {
  const { "content-type": type, "content-length": length } = request.headers;
  engine.dispatch(
    {
      method: request.method as "POST",
      path: request.url ?? "/",
      headers: { ...(type && { "content-type": type }), ...(length && { "content-length": length }) },
      body: request.method === "POST" ? request : null,
    },
    {
      onRequestStart(controller) {
        response.once("close", () => {
          if (!response.writableFinished) controller.abort(new Error("caller left"));
        });
        response.on("drain", () => controller.resume());
      },
      onResponseStart(_controller, status, headers) {
        delete headers["connection"];
        delete headers["keep-alive"];
        delete headers["transfer-encoding"];
        response.writeHead(status, headers);
      },
      onResponseData(controller, chunk) {
        if (!response.write(chunk)) controller.pause();
      },
      onResponseEnd() {
        response.end();
      },
      onResponseError() {
        response.destroy();
      },
    },
  );
}

const { TLS_CERT: cert, TLS_KEY: key } = process.env;
const server =
  cert && key ? createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, relay) : createServer(relay);
server.keepAliveTimeout = 300_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${JSON.stringify({ port: typeof address === "object" ? address?.port : null })}\n`);
});
process.stdin.resume().once("end", () => process.exit(0));
