/** The times that a cron line stands for, in UTC. */
export interface CronTimes {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday. */
  readonly weekdays: ReadonlySet<number>;
  /** Both fields of the day restrict: then either is enough (POSIX crontab). */
  readonly isEitherDay: boolean;
}

/** The rule in words, for messages. */
export const CRON_RULE = 'five fields "minute hour day month weekday" in UTC, like "0 2 * * 6" or "*/15 8-17 1,15 * *"';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Bounds of the five fields; weekday 7 is Sunday too. */
const FIELDS = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
] as const;
/** How far ahead a next time is looked for: past the rarest one there is, 29 February over a century's end. */
const HORIZON_DAYS = 8 * 366 + 1;

/** Reads a cron line: numbers, `*`, ranges, steps and lists. @returns null where it is none, or stands for no day at all. */
export function parseCron(text: string): CronTimes | null {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== FIELDS.length) return null;
  const sets = fields.map((field, at) => readField(field, FIELDS[at] ?? [0, 0]));
  const [minutes, hours, days, months, weekdays] = sets;
  if (minutes == null || hours == null || days == null || months == null || weekdays == null) return null;
  if (weekdays.has(7)) weekdays.add(0);
  const isEitherDay = !(fields[2] ?? "").startsWith("*") && !(fields[4] ?? "").startsWith("*");
  const times = { minutes, hours, days, months, weekdays, isEitherDay };
  return nextCronTime(times, 0) === null ? null : times;
}

/** The first time after `afterMs` (UTC). Null where there is none within eight years. */
export function nextCronTime(times: CronTimes, afterMs: number): number | null {
  const firstMs = Math.floor(afterMs / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
  for (let day = 0; day <= HORIZON_DAYS; day++) {
    const dayMs = Math.floor(firstMs / DAY_MS) * DAY_MS + day * DAY_MS;
    if (!isDay(times, dayMs)) continue;
    for (const atMs of timesOfDay(times, dayMs)) if (atMs >= firstMs) return atMs;
  }
  return null;
}

/** The last time at or before `atMs`, not before `sinceMs` (UTC); null where there is none. */
export function lastCronTime(times: CronTimes, atMs: number, sinceMs: number): number | null {
  for (let dayMs = Math.floor(atMs / DAY_MS) * DAY_MS; dayMs + DAY_MS > sinceMs; dayMs -= DAY_MS) {
    if (!isDay(times, dayMs)) continue;
    for (const found of timesOfDay(times, dayMs).reverse()) {
      if (found <= atMs) return found >= sinceMs ? found : null;
    }
  }
  return null;
}

function readField(field: string, [low, high]: readonly [number, number]): Set<number> | null {
  const values = new Set<number>();
  for (const part of field.split(",")) {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (match === null) return null;
    const [, first, last, step] = match;
    const from = Number(first ?? low);
    // `5/10` is from 5 on; a lone number is itself.
    const to = Number(last ?? (first === undefined || step !== undefined ? high : first));
    const by = Number(step ?? 1);
    if (from < low || to > high || from > to || by < 1) return null;
    for (let value = from; value <= to; value += by) values.add(value);
  }
  return values;
}

function isDay({ days, months, weekdays, isEitherDay }: CronTimes, dayMs: number): boolean {
  const date = new Date(dayMs);
  if (!months.has(date.getUTCMonth() + 1)) return false;
  const isDate = days.has(date.getUTCDate());
  const isWeekday = weekdays.has(date.getUTCDay());
  return isEitherDay ? isDate || isWeekday : isDate && isWeekday;
}

function timesOfDay({ hours, minutes }: CronTimes, dayMs: number): number[] {
  const inOrder = (values: ReadonlySet<number>) => [...values].sort((a, b) => a - b);
  return inOrder(hours).flatMap((hour) => inOrder(minutes).map((minute) => dayMs + (hour * 60 + minute) * MINUTE_MS));
}
