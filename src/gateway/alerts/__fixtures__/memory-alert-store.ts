import type { AlertDeliveryRecord, AlertRecord, AlertStore, SilenceRecord } from "../../../storage/alert-store.ts";

/** Keeps alerts in memory. Unlike a real store it prunes nothing, pages nothing and survives nothing. */
export function memoryAlertStore(): AlertStore {
  const alerts = new Map<string, AlertRecord>();
  const deliveries: AlertDeliveryRecord[] = [];
  const silences: SilenceRecord[] = [];
  return {
    async save(changed, delivered) {
      for (const alert of changed) alerts.set(alert.id, structuredClone(alert));
      deliveries.push(...delivered);
    },
    unresolved: async () => structuredClone([...alerts.values()].filter((one) => one.resolvedAtMs === null)),
    list: async () =>
      [...alerts.values()].map((one) => ({ ...one, deliveries: deliveries.filter(({ alertId }) => alertId === one.id) })),
    prune: async () => {},
    acknowledge: async () => true,
    silences: async () => [...silences],
    insertSilence: async (silence) => void silences.push(silence),
    removeSilence: async () => true,
  };
}
