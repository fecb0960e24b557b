import { PosternError } from "../errors.ts";
import { findPortHolder } from "./port-holder.ts";

/**
 * Why a listener could not be opened, in plain words with the next step: `port_taken`, with the holder where it can be
 * found cheaply, or `listen_failed`.
 *
 * @param setting What the operator changes to use another address, for the hint.
 */
export function listenError(
  cause: unknown,
  address: { host: string; port: number },
  setting = "the address",
): PosternError {
  const { code } = cause as NodeJS.ErrnoException;
  const where = `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
  if (code === "EADDRINUSE") {
    const holder = findPortHolder(address.port);
    const by = holder === null ? "another program" : `${holder.program} (pid ${holder.pid})`;
    return new PosternError("port_taken", {
      message: `Cannot listen on ${where}: port ${address.port} is taken by ${by}`,
      hint: `Stop that program, or choose another port with ${setting}.`,
      detail: { ...address, holder },
      cause,
    });
  }
  const why =
    code === "EACCES"
      ? "this user may not open that port"
      : code === "EADDRNOTAVAIL"
        ? "this machine does not have that address"
        : code === "ENOTFOUND" || code === "EAI_AGAIN"
          ? "the name does not resolve"
          : (code ?? "unknown reason");
  return new PosternError("listen_failed", {
    message: `Cannot listen on ${where}: ${why}`,
    hint: `Choose another with ${setting}.`,
    detail: { ...address },
    cause,
  });
}
