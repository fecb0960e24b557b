import type { AlertmanagerConfig } from "../../config/alerts.ts";
import { formAlerts, toRfc3339 } from "./alertmanager-form.ts";
import type { Channel } from "./channel.ts";
import type { ChannelParts } from "./open-channels.ts";
import { post } from "./post.ts";

/** How often what fires is told again. */
const REFRESH_MS = 60_000;
/** An alert that is not told again for so long is taken for resolved. */
const ENDS_AFTER_MS = 4 * REFRESH_MS;
/** A test is gone after this. */
const TEST_ENDS_AFTER_MS = 60_000;

/**
 * Alertmanager, API v2. It groups, routes and repeats by itself, and takes what it is no longer told for resolved; so it is told
 * again each minute what fires, and once what resolved.
 *
 * @see https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
 */
export function createAlertmanager(parts: ChannelParts, { url, token }: AlertmanagerConfig): Channel {
  const { name, filter, clock, gateway, ca } = parts;
  return {
    name,
    type: "alertmanager",
    filter,
    minGapMs: 0,
    refreshMs: REFRESH_MS,
    send: async (notification, signal) => {
      const lastsMs = notification.kind === "test" ? TEST_ENDS_AFTER_MS : ENDS_AFTER_MS;
      const alerts = formAlerts(notification, gateway).map(
        ({ status, labels, annotations, startsAt, endsAt, generatorURL }) => ({
          labels,
          annotations,
          startsAt,
          endsAt: status === "firing" ? toRfc3339(clock.nowMs() + lastsMs) : endsAt,
          generatorURL,
        }),
      );
      const base = url.reveal().replace(/\/+$/, "");
      const headers = token === null ? {} : { authorization: `Bearer ${token.reveal()}` };
      return post({ url: new URL(`${base}/api/v2/alerts`), body: JSON.stringify(alerts), headers, ca, clock, signal });
    },
  };
}
