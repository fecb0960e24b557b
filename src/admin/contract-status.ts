import { z } from "zod";
import { timestamp } from "./contract.ts";
import { contingencyScope } from "./contract-continuity.ts";
import { advisoryView } from "./contract-nodes.ts";
import { providerView } from "./contract-providers.ts";

const breakerStatus = z.object({
  /** `node/NAME/ENGINE/MODEL` or `provider/NAME/MODEL`. */
  target: z.string(),
  state: z.enum(["closed", "half-open", "open"]),
  /** A code of errors.md, or `throttled`: the target asked for a pause. */
  reason: z.string().nullable(),
  /** When the next request may try it, if others can serve meanwhile. */
  probeAtMs: timestamp,
});
export type BreakerStatus = z.infer<typeof breakerStatus>;

const listenerView = z.object({
  name: z.enum(["public", "plain", "agents", "admin"]),
  /** `host:port` as it listens. */
  address: z.string(),
  /** From where it can be reached, as far as its address says; a firewall may allow less. */
  reach: z.enum(["machine", "private", "everywhere", "internet"]),
  /** `proxy`: a declared proxy in front terminates it. */
  tls: z.enum(["none", "files", "acme", "proxy"]),
  /** What whoever reaches it must have, in words. */
  needs: z.string(),
  certificate: z
    .object({
      names: z.array(z.string()),
      /** Null: there is none yet. */
      notAfterMs: timestamp.nullable(),
      /** Why the last attempt to get a newer one failed; the old one stays in use. */
      problem: z.string().nullable(),
      nextTryAtMs: timestamp.nullable(),
    })
    .nullable(),
});
export type ListenerView = z.infer<typeof listenerView>;

export const status = z.object({
  version: z.string(),
  /** Null when no gateway runs and the store was opened for this answer. */
  gateway: z
    .object({
      pid: z.int(),
      startedAtMs: timestamp,
      publicUrl: z.string(),
      adminUrl: z.string().nullable(),
      ready: z.boolean(),
      /** Why it is not ready; empty when it is. */
      reasons: z.array(z.string()),
      isDraining: z.boolean(),
      requestsActive: z.int(),
      queues: z
        .array(z.strictObject({ model: z.string(), depth: z.int() }))
        .describe("Requests among them that wait for a target of their model."),
      links: z.int(),
      /** Everything that listens, with who can reach it. */
      listeners: z.array(listenerView),
      /** What became of the last look at the configuration. */
      config: z.object({
        loadedAtMs: timestamp,
        /** Why the file as it is now is not used; null: it is. */
        problem: z.string().nullable(),
        /** Settings of the file that count only after a restart. */
        needsRestart: z.array(z.string()),
      }),
      /** Circuit breakers that are not closed. */
      breakers: z.array(breakerStatus),
      /** Clouds of the configuration. */
      providers: z.array(providerView),
    })
    .nullable(),
  dataFolder: z.string(),
  configFile: z.string().nullable(),
  keys: z.object({ active: z.int(), total: z.int() }),
  nodes: z.object({ connected: z.int(), total: z.int() }),
  models: z.object({ ready: z.int(), total: z.int() }),
  /** Engines of connected nodes whose version is known to be vulnerable; `info` advisories are left out. */
  engineAdvisories: z.array(
    advisoryView.extend({ node: z.string(), engine: z.string(), version: z.string().nullable() }),
  ),
  /** Models that only providers serve now, because none of their nodes can. */
  nodesAway: z.array(z.string()),
  /** Scopes that are not normal. */
  contingency: z.array(contingencyScope),
  drills: z.object({
    running: z.object({ id: z.string(), plan: z.string(), state: z.string() }).nullable(),
    /** Plans that should have run more than a day ago. */
    overdue: z.array(z.object({ plan: z.string(), sinceMs: timestamp })),
  }),
  /** What fires now and is neither silenced nor taken on by somebody, the worst first. */
  alerts: z.array(z.object({ id: z.string(), rule: z.string(), severity: z.string(), summary: z.string() })),
  /** Null when well; otherwise plain words with the next step. */
  storeTrouble: z.string().nullable(),
  ledgerTrouble: z.string().nullable(),
});
export type Status = z.infer<typeof status>;
