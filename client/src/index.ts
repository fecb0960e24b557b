export type { BreakerState } from "./breaker.ts";
export type { Clock, Timer } from "./clock.ts";
export type { Contingency, ContingencyOptions } from "./contingency.ts";
export {
  type AttemptFailure,
  FailoverError,
  type FailoverErrorCode,
  type FailoverFacts,
  type FailureReason,
  failoverErrorOf,
  type SkippedTarget,
} from "./failover-error.ts";
export { createFailoverFetch, type FailoverFetch, type Fetch, type TargetStatus } from "./failover-fetch.ts";
export {
  FAILOVER_BASE_URL,
  type FailoverOptions,
  type FailoverTarget,
  type Served,
  type TargetTimes,
} from "./options.ts";
