import type { ExchangeFailure, FailureKind, FailurePhase } from "../lib/exchange.ts";

/**
 * Says in our words what undici's error means. `phase` is how far the exchange had come.
 *
 * @see undici's lib/core/errors.js. Its parser errors carry llhttp's reason in the message, and no code.
 */
export function describeFailure(error: unknown, phase: FailurePhase): ExchangeFailure {
  const { name, code, message } = readError(error);
  return { phase, kind: kindOf(name, code, message, phase), detail: code === "" ? message : code, cause: error };
}

function kindOf(name: string, code: string, message: string, phase: FailurePhase): FailureKind {
  if (phase === "connect") return code === "UND_ERR_CONNECT_TIMEOUT" ? "timeout" : "unreachable";
  if (name === "HTTPParserError") {
    // The connection ended inside a message. Before the head is whole there is nothing to cut.
    return phase === "body" && message.includes("Invalid EOF state") ? "cut" : "protocol";
  }
  // In the head, undici gives this one for every fault that comes after a Content-Length.
  if (code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH") return phase === "body" ? "cut" : "protocol";
  if (code === "UND_ERR_HEADERS_OVERFLOW") return "protocol";
  if (code === "UND_ERR_SOCKET") {
    // "bad response" and "bad upgrade": bytes or an upgrade that nobody asked for. The rest is the end of the connection.
    if (message.startsWith("bad ")) return "protocol";
    return phase === "body" ? "cut" : "reset";
  }
  return "reset";
}

function readError(error: unknown): { name: string; code: string; message: string } {
  if (!(error instanceof Error)) return { name: "", code: "", message: "unknown" };
  const code = (error as NodeJS.ErrnoException).code;
  return { name: error.name, code: typeof code === "string" ? code : "", message: error.message };
}
