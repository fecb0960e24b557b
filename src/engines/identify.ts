import type { EngineAdapter, EngineIdentity, EngineProbe, ProbeAnswer } from "./engine.ts";

/** A server that said what it is. */
export interface IdentifiedEngine {
  adapter: EngineAdapter;
  identity: EngineIdentity;
}

/**
 * Asks adapters in order which of them knows the server behind the probe. Each path is read once, however many ask.
 *
 * @param adapters In order of detection: SGLang imitates Ollama, and everything imitates OpenAI.
 * @returns Null when nobody knows it, when it cannot be reached, or when it is a Postern gateway: that is not an engine,
 *   and a gateway that served itself would loop.
 */
export async function identifyEngine(
  probe: EngineProbe,
  adapters: readonly EngineAdapter[],
): Promise<IdentifiedEngine | null> {
  const reader = new RememberingProbe(probe);
  for (const adapter of adapters) {
    const identity = await adapter.identify(reader);
    if (reader.isPostern || reader.isUnreachable) return null;
    if (identity !== null) return { adapter, identity };
  }
  return null;
}

class RememberingProbe implements EngineProbe {
  isPostern = false;
  isUnreachable = false;
  readonly #probe: EngineProbe;
  readonly #answers = new Map<string, Promise<ProbeAnswer>>();

  constructor(probe: EngineProbe) {
    this.#probe = probe;
  }

  get(path: string): Promise<ProbeAnswer> {
    const known = this.#answers.get(path);
    if (known !== undefined) return known;
    const answer = this.#read(path);
    this.#answers.set(path, answer);
    return answer;
  }

  async #read(path: string): Promise<ProbeAnswer> {
    if (this.isUnreachable) throw new Error("unreachable");
    try {
      const answer = await this.#probe.get(path);
      this.isPostern ||= Object.keys(answer.headers).some((name) => name.startsWith("x-postern-"));
      return answer;
    } catch (error) {
      // The first read decides: a port that refuses, or a server that is silent, is not asked seven times.
      this.isUnreachable = this.#answers.size <= 1;
      throw error;
    }
  }
}
