/** From here on the answer to a question of memory is too slow (S0-24). */
export const SLOW_PROBE_MS = 500;
/** The same for the first token of an answer, on average. */
export const SLOW_FIRST_TOKEN_MS = 1000;
/** Healthy between a gateway and a node that is not beside it. */
const HEALTHY_REMOTE_MS = 80;

/** What is known of the way to an engine. */
export interface LatencyFacts {
  /** There and back through the link, the engine's part included. */
  throughMs: number;
  /** The engine's part, as its agent saw it; null where nobody says. */
  engineMs: number | null;
  /** Round trip of the link's pings, which no engine and no agent's work is part of; null where unknown. */
  pingMs: number | null;
  /** Mean time to the first token of attempts; null where there were none. */
  firstTokenMs: number | null;
  busy: number;
  slots: number | null;
  queued: number | null;
}

/** Which side is slow, and whether that is worth a person's time. */
export interface LatencyVerdict {
  level: "good" | "fair" | "alarm";
  side: "none" | "engine" | "network" | "agent";
  /** In words, with the next step where there is one. */
  text: string;
}

/**
 * Tells the causes of latency apart by what was measured at both ends (S0-25): the engine's own time is the engine's machine;
 * what pings take too is the network or a proxy on the way; what neither explains is the agent or the gateway.
 */
export function explainLatency(facts: LatencyFacts): LatencyVerdict {
  const { throughMs, engineMs, pingMs, firstTokenMs } = facts;
  const wayMs = engineMs === null ? null : Math.max(0, throughMs - engineMs);
  if (throughMs > SLOW_PROBE_MS) {
    if (engineMs !== null && engineMs * 2 >= throughMs) {
      return alarm("engine", `the engine takes ${inMs(engineMs)} for what it has in memory: ${whyBusy(facts)}`);
    }
    if (pingMs !== null && pingMs * 2 >= (wayMs ?? throughMs)) {
      return alarm(
        "network",
        `the way to the node takes ${inMs(pingMs)}: its network or provider, or a proxy or edge in between`,
      );
    }
    return wayMs === null
      ? alarm("network", `it takes ${inMs(throughMs)}, and nobody measured where`)
      : alarm(
          "agent",
          `${inMs(wayMs)} are lost between gateway and engine although pings are quick: the machine of the agent or gateway is busy, or the line is full`,
        );
  }
  if (firstTokenMs !== null && firstTokenMs > SLOW_FIRST_TOKEN_MS) {
    const text = `first tokens take ${inMs(firstTokenMs)} on average although the way is quick: ${whyBusy(facts)}`;
    return alarm("engine", text);
  }
  if (throughMs > HEALTHY_REMOTE_MS)
    return { level: "fair", side: "none", text: "slower than usual between two places" };
  return { level: "good", side: "none", text: "as it should be" };
}

function alarm(side: LatencyVerdict["side"], text: string): LatencyVerdict {
  return { level: "alarm", side, text };
}

function whyBusy({ busy, slots, queued }: LatencyFacts): string {
  if ((queued ?? 0) > 0) return `it is overloaded, ${queued} wait inside it`;
  if (slots !== null && busy >= slots) return `it is overloaded, all ${slots} slots are taken`;
  if (busy > 0) return `it computes ${busy} ${busy === 1 ? "request" : "requests"}, or something else uses its machine`;
  return "something else uses its machine, or it loads a model";
}

function inMs(ms: number): string {
  return `${Math.round(ms)} ms`;
}
