import { AttemptFault } from "./answer-body.ts";
import type { Answer } from "./attempt.ts";
import { ATTEMPTS_HEADER, TARGET_HEADER } from "./header-names.ts";

/** Told how an answer that was handed over ended. Exactly one of them is called, once. */
export interface AnswerOutcome {
  ended(): void;
  /** It broke. Returns what the reader gets. */
  broke(fault: AttemptFault): unknown;
  left(): void;
}

/**
 * The response that the caller gets: the target's status, headers and bytes, and which target it was.
 *
 * The body is read at the caller's pace. When it breaks, the reader gets an error, never an end.
 */
export function serveAnswer(
  { response, body, limits }: Answer,
  { target, attempts, idleMs }: { target: string; attempts: number; idleMs: number },
  outcome: AnswerOutcome,
): Response {
  const headers = new Headers(response.headers);
  // The platform has decoded the body already.
  headers.delete("content-encoding");
  headers.delete("content-length");
  headers.set(TARGET_HEADER, target);
  headers.set(ATTEMPTS_HEADER, String(attempts));
  const { status, statusText } = response;
  if (body === null) {
    outcome.ended();
    return new Response(null, { status, statusText, headers });
  }
  let hasLeft = false;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const chunk = await body.next(idleMs);
          if (chunk !== null) return controller.enqueue(chunk);
          limits.close();
          outcome.ended();
          controller.close();
        } catch (thrown) {
          // A chunk that came as the reader left has nowhere to go; that is no fault of the target.
          if (hasLeft) return;
          limits.close();
          body.close();
          const fault = thrown instanceof AttemptFault ? thrown : new AttemptFault("bad_answer");
          controller.error(outcome.broke(fault));
        }
      },
      cancel() {
        hasLeft = true;
        limits.stop("caller_left");
        body.close();
        outcome.left();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(stream, { status, statusText, headers });
}
