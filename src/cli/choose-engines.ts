import { resolve } from "node:path";
import type { AgentConfig } from "../config/agent-config.ts";
import { usageError } from "./invocation.ts";

/**
 * The configuration as `--engine` and `--model` change it.
 *
 * `none` keeps the embedded engine away and still finds others; a URL serves that engine and nothing else; a model file is
 * served by the embedded engine besides what is found.
 *
 * @throws PosternError `usage`
 */
export function chooseEngines(config: AgentConfig, options: { engine?: string; model?: string }): AgentConfig {
  const { engine = "auto", model } = options;
  if (model !== undefined) {
    if (engine !== "auto")
      throw usageError("--model is served by the embedded engine, which --engine rules out", "Leave --engine out.");
    return { ...config, embedded: { mode: "always", modelPath: resolve(model) } };
  }
  if (engine === "auto") return config;
  if (engine === "none") return { ...config, embedded: { ...config.embedded, mode: "none" } };
  const url = URL.parse(engine);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "" || url.hash !== "") {
    throw usageError(
      `--engine must be auto, none or an engine's URL, got ${JSON.stringify(engine.replace(/\/\/[^/]*@/, "//***@"))}`,
    );
  }
  const named = {
    name: "engine",
    url: url.href.replace(/\/+$/, ""),
    kind: null,
    apiKey: null,
    host: null,
    caFile: null,
    serverName: null,
    exposureAccepted: false,
  };
  return { ...config, discover: false, engines: [named], started: [], embedded: { ...config.embedded, mode: "none" } };
}
