import { defaultConfig } from "../../src/config/defaults.ts";
import type { DirectNodeConfig, GatewayConfig, ResolvedConfig } from "../../src/config/resolved.ts";

/** Any free port of loopback. */
export const FREE = { host: "127.0.0.1", port: 0 };

/** What a gateway has by default over this folder, on free ports of loopback. */
export function gatewayConfig(dataFolder: string, fields: Partial<GatewayConfig> = {}): ResolvedConfig {
  const base = defaultConfig(dataFolder);
  const { gateway } = base;
  return { ...base, gateway: { ...gateway, listen: FREE, admin: { ...gateway.admin, listen: FREE }, ...fields } };
}

/** A node of the file that is reached by its address. */
export function directNode(name: string, url: string): DirectNodeConfig {
  return {
    name,
    url,
    kind: null,
    apiKey: null,
    host: null,
    caFile: null,
    serverName: null,
    tags: [],
    locality: "own",
    place: "postern.yaml:1",
  };
}
