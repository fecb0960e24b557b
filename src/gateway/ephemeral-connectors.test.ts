import { expect, it } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import type { ConnectorRecord } from "../storage/store.ts";
import { forgetEphemeralConnectors } from "./ephemeral-connectors.ts";

it("forgetEphemeralConnectors() forgets pods an hour after they went away, and nobody who is connected", async () => {
  const clock = new ManualClock();
  const startMs = clock.nowMs();
  const pods = ["gone", "here"].map(
    (id): ConnectorRecord => ({
      id,
      nodeId: "n",
      publicKey: new Uint8Array(32),
      createdAtMs: startMs,
      lastSeenAtMs: startMs,
      lastEpoch: 1,
      isEphemeral: true,
    }),
  );
  const forgotten: string[] = [];
  const stop = forgetEphemeralConnectors(
    {
      directory: {
        staleEphemerals: (beforeMs) =>
          pods.filter((pod) => (pod.lastSeenAtMs ?? 0) < beforeMs && !forgotten.includes(pod.id)),
        forget: async () => {},
      },
      isConnected: (id) => id === "here",
      onForgotten: (id) => forgotten.push(id),
      onFailure: (error) => expect.unreachable(String(error)),
    },
    clock,
  );
  clock.advance(59 * 60_000);
  await Promise.resolve();
  expect(forgotten).toEqual([]);
  clock.advance(10 * 60_000);
  await Promise.resolve();
  expect(forgotten).toEqual(["gone"]);
  stop();
  expect(clock.pendingTimers).toBe(0);
});
