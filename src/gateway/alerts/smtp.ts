import type { NodemailerError } from "nodemailer";
import type { SmtpConfig } from "../../config/alerts.ts";
import type { Channel, SendOutcome } from "./channel.ts";
import { toMessage } from "./message.ts";
import type { ChannelParts } from "./open-channels.ts";
import { judgeFailure, SEND_TIMEOUT_MS, tooLate } from "./post.ts";

/** Longest time of a try, however slowly the server goes on. */
const LONGEST_MS = 3 * SEND_TIMEOUT_MS;

/** Mail, one message per notification, over a connection of its own. */
export function createSmtp(parts: ChannelParts, config: SmtpConfig): Channel {
  const { name, filter, gateway, ca, clock } = parts;
  return {
    name,
    type: "smtp",
    filter,
    minGapMs: 0,
    refreshMs: null,
    async send(notification, signal) {
      // Loaded only where there is something to send by mail.
      const { createTransport } = await import("nodemailer");
      const { title, lines, nextStep } = toMessage(notification, gateway);
      const transport = createTransport({
        host: config.host,
        port: config.port,
        secure: config.tls === "tls",
        requireTLS: config.tls === "starttls",
        ignoreTLS: config.tls === "none",
        connectionTimeout: SEND_TIMEOUT_MS,
        greetingTimeout: SEND_TIMEOUT_MS,
        socketTimeout: SEND_TIMEOUT_MS,
        disableFileAccess: true,
        disableUrlAccess: true,
        tls: { rejectUnauthorized: true, minVersion: "TLSv1.2", ...(ca === null ? {} : { ca }) },
        ...(config.user === null ? {} : { auth: { user: config.user, pass: config.password?.reveal() ?? "" } }),
      });
      const late = new AbortController();
      const timer = clock.after(LONGEST_MS, () => late.abort());
      try {
        await transport.sendMail({
          from: config.from,
          to: [...config.to],
          subject: title,
          text: [...lines, ...(nextStep === null ? [] : ["", nextStep])].join("\n"),
          // The same for each try: a server that has it already drops the second.
          messageId: `<${notification.id}@postern>`,
          headers: { "Auto-Submitted": "auto-generated" },
          // Only this ends what is under way: `close` lets it go on.
          signal: AbortSignal.any([signal, late.signal]),
        });
        return { isDelivered: true, detail: "the mail server took it" };
      } catch (error) {
        return late.signal.aborted ? tooLate(LONGEST_MS) : judgeMailFailure(error);
      } finally {
        timer.cancel();
        transport.close();
      }
    },
  };
}

/** Only codes: what the server says may name the account. */
function judgeMailFailure(error: unknown): SendOutcome {
  // Nodemailer's own code says the phase; the socket's is behind it.
  const { code, originalCode, responseCode } = error as NodemailerError;
  if (code === "EAUTH") {
    return {
      isDelivered: false,
      detail: "the mail server refused the login",
      isPermanent: true,
      retryAfterMs: null,
      nextStep: "Check the channel's user and password.",
    };
  }
  if (responseCode !== undefined) {
    // RFC 5321 §4.2.1: 4xx may pass, 5xx will not.
    const isPermanent = responseCode >= 500;
    return {
      isDelivered: false,
      detail: `the mail server answered with ${responseCode}`,
      isPermanent,
      retryAfterMs: null,
      nextStep: isPermanent ? "Check the channel's sender and recipients." : "Look at the mail server's log.",
    };
  }
  return judgeFailure(originalCode ?? code);
}
