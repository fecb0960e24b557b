import type { ChannelFilter, Notification } from "../../continuity/alerts/grouping.ts";

/** How one try to deliver ended. Words in it are for operators and hold no address, no topic and no secret. */
export type SendOutcome =
  | { isDelivered: true; detail: string }
  | {
      isDelivered: false;
      detail: string;
      /** Trying again would not help. */
      isPermanent: boolean;
      /** What the receiver asked for; null: nothing. */
      retryAfterMs: number | null;
      nextStep: string;
    };

/** One way to tell somebody. */
export interface Channel {
  readonly name: string;
  readonly type: "webhook" | "slack" | "ntfy" | "smtp" | "alertmanager";
  readonly filter: ChannelFilter;
  /** Least time between two messages. */
  readonly minGapMs: number;
  /** How often it must be told again what fires, because it forgets; null: it does not. */
  readonly refreshMs: number | null;
  /** One try. Does not reject; ends early when the signal aborts. */
  send(notification: Notification, signal: AbortSignal): Promise<SendOutcome>;
}
