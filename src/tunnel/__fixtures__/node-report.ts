import type { EngineReport, ModelReport, NodeReport } from "../link.ts";

/** What a small Linux machine reports of these engines. */
export function nodeReport(...engines: EngineReport[]): NodeReport {
  return {
    agentVersion: "1",
    operationsVersion: 1,
    fieldsVersion: 1,
    hardware: { platform: "linux", arch: "x64", cpus: 2, memoryBytes: 1, gpus: [] },
    engines,
  };
}

/** An Ollama that is ready to chat with models of which it says no more than the names. */
export function engineReport(models: readonly string[], fields: Partial<EngineReport> = {}): EngineReport {
  return {
    name: "ollama",
    kind: "ollama",
    version: null,
    ready: true,
    reason: null,
    operations: ["openai.chat"],
    slots: null,
    models: models.map((name) => modelReport(name)),
    ...fields,
  };
}

export function modelReport(name: string, fields: Partial<ModelReport> = {}): ModelReport {
  return {
    name,
    loaded: null,
    contextLength: null,
    sizeBytes: null,
    quantization: null,
    capabilities: [],
    remote: false,
    ...fields,
  };
}
