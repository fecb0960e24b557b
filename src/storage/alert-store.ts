/** One time that a rule fired for one thing. */
export interface AlertRecord {
  /** UUIDv7. */
  id: string;
  rule: string;
  key: string;
  severity: string;
  summary: string;
  labels: Readonly<Record<string, string>>;
  startedAtMs: number;
  firedAtMs: number;
  resolvedAtMs: number | null;
  /** When it was first delivered; null: it was not. */
  toldAtMs: number | null;
  ack: { atMs: number; by: string; note: string | null } | null;
}

/** What became of one message about an alert on one channel. */
export interface AlertDeliveryRecord {
  /** Of the message; one message may be about several alerts. */
  notificationId: string;
  alertId: string;
  channel: string;
  kind: "change" | "repeat";
  /** What the message said of the alert. */
  status: "firing" | "resolved";
  isDelivered: boolean;
  attempts: number;
  detail: string;
  atMs: number;
}

export interface SilenceRecord {
  id: string;
  /** Name of a rule, or `*`. */
  rule: string;
  /** Null: whatever the rule finds. */
  key: string | null;
  reason: string;
  createdBy: string;
  createdAtMs: number;
  untilMs: number;
}

/** Null is no limit. */
export interface AlertQuery {
  rule: string | null;
  /** Alerts that fired from then on. */
  sinceMs: number | null;
  /** Only alerts that fired before this one, for the next page. */
  before: string | null;
  limit: number;
}

/** An alert with what is known of its messages, oldest first. */
export interface AlertHistoryEntry extends AlertRecord {
  deliveries: AlertDeliveryRecord[];
}

/** Alerts, their messages, and silences. */
export interface AlertStore {
  /** Writes alerts as they are now, those that are known too; an acknowledgement stays as it is in the store. Idempotent. */
  save(alerts: readonly AlertRecord[], deliveries: readonly AlertDeliveryRecord[]): Promise<void>;
  /** Alerts that fire, oldest first, acknowledgements included. */
  unresolved(): Promise<AlertRecord[]>;
  /** Newest first. */
  list(query: AlertQuery): Promise<AlertHistoryEntry[]>;
  /** Deletes alerts that resolved before `beforeMs`, and the oldest resolved ones beyond `keep`, with their messages; also silences long over. */
  prune(beforeMs: number, keep: number): Promise<void>;
  /** False when there is no such alert, or it was acknowledged before. */
  acknowledge(id: string, ack: NonNullable<AlertRecord["ack"]>): Promise<boolean>;
  /** Those that are over too. */
  silences(): Promise<SilenceRecord[]>;
  insertSilence(silence: SilenceRecord): Promise<void>;
  /** False when there is none. */
  removeSilence(id: string): Promise<boolean>;
}
