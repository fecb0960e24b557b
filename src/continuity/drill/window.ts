const DAY_MINUTES = 24 * 60;
const MINUTE_MS = 60_000;
const HOURS_PER_WEEK = 7 * 24;

/** Part of the day, in UTC, on some days of the week. `to` before `from`: over midnight, on the day on which it begins. */
export interface DrillWindow {
  /** Minutes after midnight. */
  from: number;
  to: number;
  /** 0 is Sunday; null: every day. */
  days: readonly number[] | null;
}

/** Whether a window is open at that time. */
export function isInWindow({ from, to, days }: DrillWindow, nowMs: number): boolean {
  const minute = Math.floor(nowMs / MINUTE_MS) % DAY_MINUTES;
  const day = new Date(nowMs).getUTCDay();
  const isOn = (one: number): boolean => days === null || days.includes(one);
  if (from <= to) return isOn(day) && minute >= from && minute < to;
  return minute >= from ? isOn(day) : minute < to && isOn((day + 6) % 7);
}

/** A quiet part of the week. */
export interface QuietWindow {
  /** 0 is Sunday (UTC). */
  day: number;
  fromHour: number;
  hours: number;
  /** Requests that it had, a week. */
  requests: number;
}

/**
 * The quietest parts of the week, from how many requests each hour of it had (UTC, 168 numbers from Sunday 0:00). Between
 * equals the one with less traffic around it, so that a drill that runs late meets little.
 *
 * @returns at most `count`, quietest first, none overlapping another.
 */
export function findQuietWindows(perHour: readonly number[], hours: number, count: number): QuietWindow[] {
  const at = (hour: number): number => perHour[(hour + HOURS_PER_WEEK) % HOURS_PER_WEEK] ?? 0;
  const sum = (from: number, length: number): number => {
    let total = 0;
    for (let hour = from; hour < from + length; hour++) total += at(hour);
    return total;
  };
  const candidates = Array.from({ length: HOURS_PER_WEEK }, (_, from) => ({
    from,
    requests: sum(from, hours),
    around: sum(from - 6, hours + 12),
  })).sort((a, b) => a.requests - b.requests || a.around - b.around || a.from - b.from);
  const chosen: typeof candidates = [];
  for (const one of candidates) {
    if (chosen.length === count) break;
    const isApart = chosen.every((other) => {
      const gap = Math.abs(one.from - other.from);
      return Math.min(gap, HOURS_PER_WEEK - gap) >= Math.max(hours, 24);
    });
    if (isApart) chosen.push(one);
  }
  return chosen.map(({ from, requests }) => ({ day: Math.floor(from / 24), fromHour: from % 24, hours, requests }));
}
