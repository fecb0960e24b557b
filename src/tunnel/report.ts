import { z } from "zod";
import type { NodeReport } from "./link.ts";

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const version = z.int().min(0).max(1_000_000);
/** Text without control characters: it is shown in terminals and logs. */
const text = (limit: number) =>
  z
    .string()
    .max(limit)
    .regex(/^\P{Cc}*$/u);
const name = (limit: number) => text(limit).min(1);
const label = name(64);
const modelName = name(256);
const shortText = text(64);
const sentence = text(500);

const modelSchema = z.object({
  name: modelName,
  loaded: z.boolean().nullable(),
  contextLength: count.nullable(),
  sizeBytes: count.nullable(),
  quantization: shortText.nullable(),
  capabilities: z.array(name(32)).max(16),
  remote: z.boolean(),
  family: shortText.nullish(),
  parameterSize: text(32).nullish(),
  parent: modelName.nullish(),
});

const loadSchema = z.object({
  running: count.nullable(),
  queued: count.nullable(),
  kvUse: z.number().min(0).max(1).nullable(),
});

const advisorySchema = z.object({
  severity: z.enum(["critical", "high", "medium", "info"]),
  id: label,
  text: sentence,
  upgradeTo: shortText.nullable(),
});

const engineSchema = z.object({
  name: label,
  kind: z.enum(["ollama", "llama-server", "vllm", "lm-studio", "sglang", "openai", "embedded"]),
  version: shortText.nullable(),
  ready: z.boolean(),
  reason: sentence.nullable(),
  operations: z.array(label).max(64),
  models: z.array(modelSchema).max(512),
  slots: count.nullable(),
  isLoading: z.boolean().optional(),
  load: loadSchema.nullish(),
  advisories: z.array(advisorySchema).max(32).optional(),
});

const reportSchema = z.object({
  agentVersion: label,
  operationsVersion: version,
  fieldsVersion: version,
  hardware: z.object({
    platform: text(32),
    arch: text(32),
    cpus: count,
    memoryBytes: count,
    gpus: z.array(text(128)).max(64),
  }),
  engines: z
    .array(engineSchema)
    .max(32)
    .refine((engines) => new Set(engines.map((engine) => engine.name)).size === engines.length),
});

/** Reads a report as an agent sent it; null when it breaks a bound. The agent is hostile until this has read it. */
export function readReport(value: unknown): NodeReport | null {
  const result = reportSchema.safeParse(value);
  return result.success ? result.data : null;
}

/**
 * The report as far as it keeps the bounds of `readReport`, so that one odd model of one engine does not cost the link:
 * models and engines that break one are left out, long or odd texts about them are cut.
 */
export function conformReport(report: NodeReport): NodeReport {
  return {
    ...report,
    agentVersion: printable(report.agentVersion, 64),
    hardware: {
      ...report.hardware,
      platform: printable(report.hardware.platform, 32),
      arch: printable(report.hardware.arch, 32),
      gpus: report.hardware.gpus.slice(0, 64).map((gpu) => printable(gpu, 128)),
    },
    engines: report.engines
      .map((engine) => ({
        ...engine,
        version: engine.version === null ? null : printable(engine.version, 64),
        reason: engine.reason === null ? null : printable(engine.reason, 500),
        models: engine.models.filter((model) => modelSchema.safeParse(model).success).slice(0, 512),
      }))
      .filter((engine) => engineSchema.safeParse(engine).success)
      .slice(0, 32),
  };
}

function printable(words: string, limit: number): string {
  return words.replace(/\p{Cc}/gu, "?").slice(0, limit);
}
