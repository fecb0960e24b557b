import type { FieldPolicy } from "../dialects/field-policy.ts";
import type { Secret } from "../lib/secret.ts";
import type { EngineKind } from "../tunnel/link.ts";

/** The `agent` section after every check, as `resolved.ts` has the rest. */
export interface AgentConfig {
  /** Origin of the gateway to dial; null: taken from the joining. */
  gateway: string | null;
  /** Null: the host's name. */
  node: string | null;
  /** Whether engines on their usual loopback ports are looked for, besides `engines`. */
  discover: boolean;
  /** Whether the gateway may have Wake-on-LAN packets sent from here. */
  wakeOnLan: boolean;
  engines: readonly EngineConfig[];
  /** Engines that the agent starts itself. */
  started: readonly StartedEngineConfig[];
  embedded: EmbeddedConfig;
  guard: GuardConfig;
}

/** What the agent lets through to the engines of its machine, whatever the gateway thinks. */
interface GuardConfig {
  fields: FieldPolicy;
  /** Names of models that an engine forwards to somebody else's cloud (Ollama `:cloud`) and that may be served all the same. */
  remoteModels: readonly string[];
}

/** A program that the agent runs as an engine: on loopback, with a key of its own, started again when it crashes. */
export interface StartedEngineConfig {
  name: string;
  kind: "llama-server" | "vllm";
  /** Path, or a name that is looked up in `PATH`. */
  program: string;
  /** What the operator adds; address, port and key are the agent's. */
  args: readonly string[];
  /** Null: a free one, each time. */
  port: number | null;
  /** Added to the agent's own environment. */
  environment: Readonly<Record<string, string>>;
}

/** An engine of the file. */
export interface EngineConfig extends EngineAddress {
  name: string;
  /** The operator knows that this engine listens on more than loopback; no warning. */
  exposureAccepted: boolean;
}

interface EmbeddedConfig {
  /** `auto`: only when no other engine is found. `always`: besides others. `none`: never installed or started. */
  mode: "auto" | "always" | "none";
  /** GGUF file, absolute; null: the demo model. */
  modelPath: string | null;
}

/** An engine address with what it takes to talk to it. Shared by direct nodes and agents. */
export interface EngineAddress {
  /** `http:` or `https:`, origin plus an optional path, without a trailing slash. */
  url: string;
  /** Null: found out from what the server says. */
  kind: EngineKind | null;
  apiKey: Secret | null;
  /** Requests it runs at once. Null or left out: what it says itself. */
  slots?: number | null;
  /** Value of the `Host` header; null: as the engine kind needs it. */
  host: string | null;
  /** PEM file of the authority that signed the engine's certificate, absolute; null: the system's. */
  caFile: string | null;
  /** Name that the engine's certificate must carry; null: the URL's. */
  serverName: string | null;
}
