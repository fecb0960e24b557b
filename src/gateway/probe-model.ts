import type { ProbeInput, ProbeResult } from "../admin/contract.ts";
import { type Operation, operationById } from "../dialects/operations.ts";
import type { Clock } from "../lib/clock.ts";
import { upstreamHeaders } from "../proxy/hop-headers.ts";
import type { Catalogue, Target } from "../proxy/target.ts";

/** What to ask, by operation: the smallest request that makes a model answer. In order of preference. */
const SMALLEST: ReadonlyArray<readonly [string, (model: string) => unknown]> = [
  ["openai.chat", (model) => ({ model, max_tokens: 1, messages: [{ role: "user", content: "hi" }] })],
  ["openai.completions", (model) => ({ model, max_tokens: 1, prompt: "hi" })],
  ["openai.embeddings", (model) => ({ model, input: "hi" })],
];

/**
 * Sends one smallest request to one target of a model, on the way that a caller's request takes from the gateway on.
 *
 * @param signal Gives up at once, and stops the engine.
 * @returns whether it answered 200, with the reason where it did not. Does not reject.
 */
export async function probeModel(
  { model, timeoutMs }: ProbeInput,
  signal: AbortSignal,
  catalogue: Catalogue,
  clock: Clock,
  newId: () => string,
): Promise<ProbeResult> {
  const startedMs = clock.monotonicMs();
  const target = catalogue.find(model)?.targets.find((one) => one.canAccept());
  const [operationId, body] = SMALLEST.find(([id]) => target?.operations.has(id) === true) ?? [];
  const operation = operationId === undefined ? undefined : operationById(operationId);
  function result(ok: boolean, reason: string | null): ProbeResult {
    const at = target === undefined ? null : target.backend.label;
    return { model, ok, reason, target: at, durationMs: clock.monotonicMs() - startedMs };
  }
  if (target === undefined) return result(false, "no node that serves it is connected and ready");
  if (operation === undefined || body === undefined)
    return result(false, "its engine offers no operation to probe it with");
  const bytes = Buffer.from(JSON.stringify(body(target.engineModel)));
  const reason = await exchange(target, operation, bytes, newId(), timeoutMs, signal, clock);
  return result(reason === null, reason);
}

function exchange(
  target: Target,
  operation: Operation,
  body: Buffer,
  id: string,
  timeoutMs: number,
  signal: AbortSignal,
  clock: Clock,
): Promise<string | null> {
  return new Promise((resolve) => {
    let status = 0;
    const headers = {
      ...upstreamHeaders(null),
      "postern-operation": operation.id,
      "postern-request": id,
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
    signal.addEventListener("abort", onAbort, { once: true });

    function give(reason: string): void {
      running.cancel("deadline");
      finish(reason);
    }
    function finish(reason: string | null): void {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
      target.ended();
      resolve(reason);
    }
  });
}
