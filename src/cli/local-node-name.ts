import { hostname } from "node:os";
import type { ResolvedConfig } from "../config/resolved.ts";

/**
 * Name of this machine's node for `postern up`: the configured one, or the host's in the form that names have.
 *
 * A node that the file defines by URL keeps its name; this one becomes `NAME-local` then.
 */
export function localNodeName({ agent, nodes }: Pick<ResolvedConfig, "agent" | "nodes">, host = hostname()): string {
  if (agent.node !== null) return agent.node;
  const short = (host.toLowerCase().split(".")[0] ?? "").replace(/[^a-z0-9-]+/g, "-").slice(0, 40);
  const name = short.replace(/^-+|-+$/g, "") || "this";
  return name === "this" || nodes.some((node) => node.name === name) ? `${name}-local` : name;
}
