import {
  createFailoverFetch,
  FAILOVER_BASE_URL,
  type FailoverFetch,
  type FailoverOptions,
  type Fetch,
  failoverErrorOf,
} from "../src/index.ts";
import { TestClock } from "./test-clock.ts";

/** A cloud target before an own one, on a clock that stands still. */
export function cloudThenOwn(
  cloudUrl: string,
  ownUrl: string,
  more: Partial<FailoverOptions> = {},
): { failover: FailoverFetch; clock: TestClock } {
  const clock = new TestClock();
  const failover = createFailoverFetch({
    targets: [
      { name: "cloud", baseUrl: `${cloudUrl}/v1`, locality: "cloud", apiKey: "cloud-key" },
      { name: "own", baseUrl: `${ownUrl}/v1`, locality: "own", apiKey: "own-key", models: { "gpt-5": "llama3.1:8b" } },
    ],
    clock,
    random: () => 0,
    ...more,
  });
  return { failover, clock };
}

/** Asks for a chat answer as an SDK does. */
export function ask(fetch: Fetch, fields: Record<string, unknown> = {}, init: RequestInit = {}): Promise<Response> {
  return fetch(`${FAILOVER_BASE_URL}/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5", messages: [], ...fields }),
    ...init,
    headers: { "content-type": "application/json", ...init.headers },
  });
}

/** The content of a whole chat answer. */
export async function contentOf(response: Response): Promise<string | undefined> {
  const answer = (await response.json()) as { choices?: Array<{ message: { content: string } }> };
  return answer.choices?.[0]?.message.content;
}

/** Which target answered. */
export function servedBy(response: Response): string | null {
  return response.headers.get("x-postern-client-target");
}

/** The failover error that `work` ends with. */
export async function failureOf(work: Promise<unknown>): Promise<NonNullable<ReturnType<typeof failoverErrorOf>>> {
  const caught = await work.then(
    () => null,
    (error: unknown) => error,
  );
  const failure = failoverErrorOf(caught);
  if (failure === null) throw new Error("no failover error", { cause: caught });
  return failure;
}
