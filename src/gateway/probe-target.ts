import { type Operation, operationById } from "../dialects/operations.ts";
import type { Clock } from "../lib/clock.ts";
import { upstreamHeaders } from "../proxy/hop-headers.ts";
import type { Target } from "../proxy/target.ts";

const CHAT = (model: string) => ({ model, max_tokens: 1, messages: [{ role: "user", content: "hi" }] });

/** What to ask, by operation: the smallest request that makes a model answer. In order of preference. */
const SMALLEST: ReadonlyArray<readonly [string, (model: string) => unknown]> = [
  ["openai.chat", CHAT],
  ["anthropic.messages", CHAT],
  ["openai.completions", (model) => ({ model, max_tokens: 1, prompt: "hi" })],
  ["openai.embeddings", (model) => ({ model, input: "hi" })],
];

export interface TargetProbe {
  clock: Clock;
  newId: () => string;
  timeoutMs: number;
  /** Gives up at once, and stops the engine. */
  signal?: AbortSignal;
}

/**
 * Sends one smallest request to a target, on the way that a caller's request takes from the gateway on. What drills play does not
 * touch it.
 *
 * @returns null when it answered 200, otherwise the reason. Does not reject.
 */
export async function probeTarget(target: Target, probe: TargetProbe): Promise<string | null> {
  const [operationId, body] = SMALLEST.find(([id]) => target.operations.has(id)) ?? [];
  const operation = operationId === undefined ? undefined : operationById(operationId);
  if (operation === undefined || body === undefined) return "its engine offers no operation to probe it with";
  return exchange(target, operation, Buffer.from(JSON.stringify(body(target.engineModel))), probe);
}

function exchange(
  target: Target,
  operation: Operation,
  body: Buffer,
  { clock, newId, timeoutMs, signal }: TargetProbe,
): Promise<string | null> {
  return new Promise((resolve) => {
    let status = 0;
    const headers = {
      ...upstreamHeaders(null),
      "postern-operation": operation.id,
      "postern-request": newId(),
    };
    target.began();
    const running = target.start(
      { method: "POST", path: operation.path, headers, body },
      {
        onHead(answered) {
          status = answered;
        },
        onData() {},
        onEnd: () => finish(status === 200 ? null : `its engine answered ${status}`),
        onFailure: (failure) => finish(`${failure.kind} (${failure.phase}): ${failure.detail}`),
      },
    );
    const timer = clock.after(timeoutMs, () => give(`no answer within ${Math.round(timeoutMs / 1000)} s`));
    const onAbort = () => give("given up");
    signal?.addEventListener("abort", onAbort, { once: true });

    function give(reason: string): void {
      running.cancel("deadline");
      finish(reason);
    }
    function finish(reason: string | null): void {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
      target.ended();
      resolve(reason);
    }
  });
}
