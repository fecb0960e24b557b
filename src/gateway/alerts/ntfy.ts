import type { NtfyConfig } from "../../config/alerts.ts";
import type { Severity } from "../../continuity/alerts/rules.ts";
import type { Channel } from "./channel.ts";
import { toMessage } from "./message.ts";
import type { ChannelParts } from "./open-channels.ts";
import { post } from "./post.ts";

/** ntfy turns longer messages into attachments. */
const MAX_MESSAGE = 3_500;
const PRIORITY: Readonly<Record<Severity, number>> = { critical: 5, warning: 4, info: 3 };

/**
 * Publishes to an ntfy server. The topic is in the body, not in the URL, so that it is in no server's access log.
 *
 * @see https://docs.ntfy.sh/publish/#publish-as-json
 */
export function createNtfy(parts: ChannelParts, { url, topic, token }: NtfyConfig): Channel {
  const { name, filter, clock, gateway, ca } = parts;
  return {
    name,
    type: "ntfy",
    filter,
    minGapMs: 0,
    refreshMs: null,
    send: async (notification, signal) => {
      const { title, lines, nextStep, severity } = toMessage(notification, gateway);
      const isFiring = notification.status === "firing";
      const body = JSON.stringify({
        topic: topic.reveal(),
        title,
        message: [...lines, ...(nextStep === null ? [] : [nextStep])].join("\n").slice(0, MAX_MESSAGE),
        priority: isFiring ? PRIORITY[severity] : PRIORITY.info,
        tags: [notification.kind === "test" ? "test_tube" : isFiring ? "rotating_light" : "white_check_mark"],
      });
      const headers = token === null ? {} : { authorization: `Bearer ${token.reveal()}` };
      return post({ url: new URL(url.reveal()), body, headers, ca, clock, signal });
    },
  };
}
