import { type Amount, DAY_MS, monthStartMs } from "../access/budget.ts";
import type { Seed } from "../access/key-limits.ts";
import type { UsageStore } from "../storage/store.ts";

/**
 * What each key, or each node and provider, used today and this month, from the store's sums: a restart gives no budget twice.
 *
 * Does not reject: a gateway serves with what it knows.
 *
 * @param by `node`: by node id, or by the label of a provider.
 * @param journal Records that the last run left are brought into the store first.
 * @param onTrouble Told when something is missing.
 */
export async function readSpending(
  by: "key" | "node",
  usage: Pick<UsageStore, "reportAtStart">,
  journal: { drain(): Promise<void> },
  nowMs: number,
  onTrouble: (error: unknown) => void,
): Promise<Map<string, Seed>> {
  const dayStartMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const [today, month] = await journal
    .drain()
    .catch(onTrouble)
    .then(() =>
      Promise.all([spentSince(by, usage, dayStartMs, nowMs), spentSince(by, usage, monthStartMs(nowMs), nowMs)]),
    )
    .catch((error: unknown) => {
      onTrouble(error);
      return [new Map<string, Amount>(), new Map<string, Amount>()] as const;
    });
  const nothing = { tokens: 0, costMicros: 0 };
  return new Map(
    [...month].map(([key, spent]) => [key, { atMs: nowMs, day: today.get(key) ?? nothing, month: spent }]),
  );
}

async function spentSince(
  by: "key" | "node",
  usage: Pick<UsageStore, "reportAtStart">,
  sinceMs: number,
  nowMs: number,
): Promise<Map<string, Amount>> {
  const rows = await usage.reportAtStart({ by, sinceMs, untilMs: nowMs + DAY_MS });
  return new Map(
    rows.map(({ group, tokensIn, tokensOut, costMicros }) => [group, { tokens: tokensIn + tokensOut, costMicros }]),
  );
}
