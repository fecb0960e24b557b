import { z } from "zod";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import { formatDuration } from "../lib/duration.ts";
import { formatSize } from "../lib/size.ts";
import {
  DEFAULT_AUTOMATIC,
  DEFAULT_CAPTURE,
  DEFAULT_CONTINUITY,
  DEFAULT_EDGE,
  DEFAULT_LIMITS,
  DEFAULT_STORAGE,
  DEFAULT_TIMEOUTS,
  defaultConfig,
} from "./defaults.ts";
import { formatListen } from "./listen-address.ts";
import { writtenAlertDefaults } from "./reference-alerts.ts";
import { DEFAULT_DRILL } from "./resolve-drills.ts";
import { configSchema } from "./schema.ts";

/** JSON Schema of `postern.yaml` for editors (draft 2020-12). */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { io: "input", unrepresentable: "any" });
  return { $schema, title: "postern.yaml", ...rest };
}

/** One setting as the reference shows it. */
export interface ConfigSetting {
  /** `nodes.NAME.url`: capitals stand for a name of your choice. */
  path: string;
  type: string;
  /** As it would be written in the file; null: none, the description says what happens. */
  default: string | null;
  isRequired: boolean;
  description: string;
}

interface SchemaNode {
  type?: string;
  description?: string;
  enum?: string[];
  const?: string;
  anyOf?: SchemaNode[];
  properties?: Record<string, SchemaNode>;
  required?: string[];
  additionalProperties?: SchemaNode | boolean;
  items?: SchemaNode;
  "x-kind"?: string;
}

/** Every setting of the file in order, for docs/reference/config.md and its in-step test. */
export function listConfigSettings(): ConfigSetting[] {
  const defaults = writtenDefaults();
  const found: ConfigSetting[] = [];
  visit(configJsonSchema() as SchemaNode, "", false);
  return found;

  function visit(node: SchemaNode, path: string, isRequired: boolean): void {
    if (path !== "" && node.description !== undefined) {
      const fallback = defaults[path] ?? null;
      found.push({ path, type: typeOf(node), default: fallback, isRequired, description: node.description });
    }
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      visit(child, path === "" ? key : `${path}.${key}`, node.required?.includes(key) ?? false);
    }
    if (typeof node.additionalProperties === "object") visit(node.additionalProperties, `${path}.NAME`, false);
    if (node.items !== undefined) visit(node.items, `${path}[]`, false);
    for (const form of node.anyOf ?? []) if (form.properties !== undefined) visit(form, path, false);
  }
}

/** The settings as a Markdown table. */
export function renderConfigReference(): string {
  const rows = listConfigSettings().map((setting) => {
    const fallback = setting.isRequired ? "required" : setting.default === null ? "" : `\`${setting.default}\``;
    return `| \`${setting.path}\` | ${setting.type} | ${fallback} | ${setting.description} |`;
  });
  return ["| Setting | Type | Default | What it does |", "|---|---|---|---|", ...rows, ""].join("\n");
}

function typeOf(node: SchemaNode): string {
  if (node["x-kind"] !== undefined) return node["x-kind"] === "listen" ? "address" : node["x-kind"];
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(", ");
  if (node.anyOf !== undefined) return node.anyOf.map(typeOf).join(" or ");
  if (node.const !== undefined) return `\`${node.const}\``;
  if (node.type === "object") return typeof node.additionalProperties === "object" ? "map by name" : "section";
  if (node.type === "array") return "list";
  return node.type === "integer" ? "number" : node.type === "string" ? "text" : (node.type ?? "any");
}

function writtenFields(path: string): Record<string, string> {
  const { unknown, maxChoices, maxKeepAliveSeconds, remoteMedia } = DEFAULT_FIELD_POLICY;
  return {
    [`${path}.unknown`]: unknown,
    [`${path}.maxChoices`]: String(maxChoices),
    [`${path}.maxKeepAlive`]: formatDuration(maxKeepAliveSeconds * 1000),
    [`${path}.remoteMedia`]: String(remoteMedia),
  };
}

function writtenContinuity(): Record<string, string> {
  const { failures, withinMs, share, holdMs, maxHoldMs } = DEFAULT_AUTOMATIC;
  const path = "continuity.contingency";
  return {
    "continuity.approvals.wait": formatDuration(DEFAULT_CONTINUITY.approvals.waitMs),
    "continuity.approvals.requests": String(DEFAULT_CONTINUITY.approvals.requests),
    [`${path}.ramp`]: formatDuration(DEFAULT_CONTINUITY.contingency.rampMs),
    [`${path}.automatic.failures`]: String(failures),
    [`${path}.automatic.within`]: formatDuration(withinMs),
    [`${path}.automatic.share`]: String(share),
    [`${path}.automatic.hold`]: formatDuration(holdMs),
    [`${path}.automatic.maxHold`]: formatDuration(maxHoldMs),
    ...writtenDrill("continuity.drills.NAME"),
  };
}

function writtenDrill(path: string): Record<string, string> {
  const one = DEFAULT_DRILL;
  return {
    [`${path}.fault`]: one.fault,
    [`${path}.delay`]: formatDuration(one.delayMs),
    [`${path}.scope.share`]: String(one.share),
    [`${path}.block`]: one.block,
    [`${path}.before`]: formatDuration(one.beforeMs),
    [`${path}.duration`]: formatDuration(one.durationMs),
    [`${path}.after`]: formatDuration(one.afterMs),
    [`${path}.traffic`]: one.traffic,
    [`${path}.perMinute`]: String(one.perMinute),
    [`${path}.maxPrompts`]: String(one.maxPrompts),
    [`${path}.stop.errorRatio`]: String(one.errorRatio),
    [`${path}.stop.minRequests`]: String(one.minRequests),
    [`${path}.alerts`]: one.alerts,
    [`${path}.switchWithin`]: formatDuration(one.switchWithinMs),
    [`${path}.recoveries`]: String(one.recoveries),
  };
}

function writtenDefaults(): Record<string, string> {
  const { gateway, agent } = defaultConfig("");
  const limits = Object.entries(DEFAULT_LIMITS).map(([name, value]) => [
    `gateway.limits.${name.replace(/Bytes$/, "")}`,
    name.endsWith("Bytes") ? formatSize(value) : String(value),
  ]);
  const timeouts = Object.entries(DEFAULT_TIMEOUTS).map(([name, value]) => [
    `gateway.timeouts.${name.replace(/Ms$/, "")}`,
    formatDuration(value),
  ]);
  return {
    ...Object.fromEntries([...limits, ...timeouts]),
    "gateway.listen": formatListen(gateway.listen),
    "gateway.tls.minVersion": DEFAULT_EDGE.minVersion,
    "gateway.tls.hsts": formatDuration(DEFAULT_EDGE.hstsMs),
    "gateway.tls.acme.challenge": DEFAULT_EDGE.challenge,
    "gateway.cors.maxAge": formatDuration(DEFAULT_EDGE.corsMaxAgeMs),
    "gateway.admin.listen": formatListen(gateway.admin.listen),
    "storage.capture.retention": formatDuration(DEFAULT_CAPTURE.maxRetentionMs),
    "storage.capture.item": formatSize(DEFAULT_CAPTURE.itemBytes),
    "storage.capture.total": formatSize(DEFAULT_CAPTURE.totalBytes),
    "storage.requestRetention": formatDuration(DEFAULT_STORAGE.requestRetentionMs ?? 0),
    "storage.auditRetention": "forever",
    "storage.syncEvery": formatDuration(DEFAULT_STORAGE.syncEveryMs),
    ...writtenContinuity(),
    "agent.discover": String(agent.discover),
    "agent.embedded.mode": agent.embedded.mode,
    ...writtenAlertDefaults(),
    ...writtenFields("gateway.fields"),
    ...writtenFields("agent.guard"),
  };
}
