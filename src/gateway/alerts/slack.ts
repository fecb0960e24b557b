import type { SlackConfig } from "../../config/alerts.ts";
import type { Channel } from "./channel.ts";
import { type Message, toMessage } from "./message.ts";
import type { ChannelParts } from "./open-channels.ts";
import { post } from "./post.ts";

/** Slack takes about one message a second per webhook. */
const MIN_GAP_MS = 1_000;
/** Longest text of a section, and of a header. */
const MAX_SECTION = 3_000;
const MAX_HEADER = 150;

/**
 * A Slack incoming webhook, or a server that takes the same (Mattermost, Rocket.Chat).
 *
 * @see https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
 */
export function createSlack({ name, filter, clock, gateway, ca }: ChannelParts, { url }: SlackConfig): Channel {
  return {
    name,
    type: "slack",
    filter,
    minGapMs: MIN_GAP_MS,
    refreshMs: null,
    send: async (notification, signal) => {
      const body = JSON.stringify(slackBody(toMessage(notification, gateway)));
      return post({ url: new URL(url.reveal()), body, ca, clock, signal });
    },
  };
}

function slackBody({ title, lines, nextStep }: Message): Record<string, unknown> {
  const text = lines.map((line) => `• ${escapeMarkup(line)}`).join("\n");
  return {
    // For notifications and screen readers, which see no blocks.
    text: escapeMarkup(title),
    blocks: [
      { type: "header", text: { type: "plain_text", text: cut(title, MAX_HEADER) } },
      { type: "section", text: { type: "mrkdwn", text: cut(text, MAX_SECTION) } },
      ...(nextStep === null
        ? []
        : [{ type: "context", elements: [{ type: "mrkdwn", text: cut(escapeMarkup(nextStep), MAX_SECTION) }] }]),
    ],
  };
}

/** The three characters with which Slack's markup begins; names come from agents. */
function escapeMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
