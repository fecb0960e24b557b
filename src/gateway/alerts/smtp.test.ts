import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { afterEach, describe, expect, test } from "vitest";
import { makeCertificate } from "../../../test/support/certificate.ts";
import type { SmtpConfig } from "../../config/alerts.ts";
import type { ManualClock } from "../../lib/clock.ts";
import { Secret } from "../../lib/secret.ts";
import { alertOf, notificationOf, partsOf } from "./__fixtures__/alert.ts";
import { createSmtp } from "./smtp.ts";

const never = new AbortController().signal;
const certificate = makeCertificate();

interface Mail {
  from: string;
  to: string[];
  isEncrypted: boolean;
  user: string | null;
  text: string;
}

const closing: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A mail server of the `smtp-server` package: the protocol is real, nothing is passed on. */
async function startMailServer(options: SMTPServerOptions = {}): Promise<{ port: number; mails: Mail[] }> {
  const mails: Mail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    key: certificate.key,
    cert: certificate.cert,
    onAuth: ({ username, password }, _session, done) =>
      password === "right" ? done(null, { user: username ?? "" }) : done(new Error("no")),
    onData(stream, session, done) {
      let text = "";
      stream.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8");
      });
      stream.on("end", () => {
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          from: mailFrom === false ? "" : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          isEncrypted: session.secure,
          user: typeof session.user === "string" ? session.user : null,
          text,
        });
        done();
      });
    },
    ...options,
  });
  // A client that will not speak to it says so by hanging up.
  server.on("error", () => {});
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  closing.push(() => new Promise((resolve) => server.close(() => resolve())));
  return { port: (server.server.address() as AddressInfo).port, mails };
}

const CONFIG: SmtpConfig = {
  host: "127.0.0.1",
  port: 25,
  tls: "starttls",
  user: null,
  password: null,
  from: "postern@example.org",
  to: ["ops@example.org", "night@example.org"],
};

function channelTo(port: number, fields: Partial<SmtpConfig> = {}, ca: string | null = certificate.cert) {
  return createSmtp(partsOf({ ca }), { ...CONFIG, port, ...fields });
}

describe("mail", () => {
  test("arrives over STARTTLS after a login, once per message, with what to do", async () => {
    const { port, mails } = await startMailServer();
    const channel = channelTo(port, { user: "postern", password: new Secret("right") });
    expect(await channel.send(notificationOf(), never)).toEqual({
      isDelivered: true,
      detail: "the mail server took it",
    });
    expect(mails).toMatchObject([
      { from: "postern@example.org", to: ["ops@example.org", "night@example.org"], isEncrypted: true, user: "postern" },
    ]);
    expect(mails[0]?.text).toMatch(/^Subject: Node forge is away \(https:\/\/ai\.example\.org\)/m);
    expect(mails[0]?.text).toContain("Message-ID: <0190a5d0-0000-7000-8000-0000000000aa@postern>");
    expect(mails[0]?.text).toContain("postern nodes show");
  });

  test("arrives over TLS from the first byte", async () => {
    const { port, mails } = await startMailServer({ secure: true });
    expect(await channelTo(port, { tls: "tls" }).send(notificationOf(), never)).toMatchObject({ isDelivered: true });
    expect(mails).toMatchObject([{ isEncrypted: true }]);
  });

  test("is not sent in clear where the server offers no TLS, unless that is wanted", async () => {
    const { port, mails } = await startMailServer({ disabledCommands: ["STARTTLS"] });
    expect(await channelTo(port).send(notificationOf(), never)).toMatchObject({ isDelivered: false });
    expect(mails).toEqual([]);
    expect(await channelTo(port, { tls: "none" }).send(notificationOf(), never)).toMatchObject({ isDelivered: true });
    expect(mails).toMatchObject([{ isEncrypted: false }]);
  });

  test("is not sent to a server whose certificate nobody vouches for", async () => {
    const { port, mails } = await startMailServer();
    const outcome = await channelTo(port, {}, null).send(notificationOf(), never);
    expect(outcome).toMatchObject({ isDelivered: false, detail: expect.stringMatching(/certificate/) });
    expect(mails).toEqual([]);
  });

  test("a wrong password is final, and no word of it is in the outcome", async () => {
    const { port } = await startMailServer();
    const outcome = await channelTo(port, { user: "postern", password: new Secret("hunter2") }).send(
      notificationOf(),
      never,
    );
    expect(outcome).toMatchObject({ isPermanent: true, detail: "the mail server refused the login" });
    expect(JSON.stringify(outcome)).not.toMatch(/hunter2|127\.0\.0\.1/);
  });

  test.each([
    [451, false],
    [550, true],
  ])("a refusal with %i is final: %s", async (responseCode, isPermanent) => {
    const { port } = await startMailServer({
      onRcptTo: (_address, _session, done) => done(Object.assign(new Error("secret-account"), { responseCode })),
    });
    const outcome = await channelTo(port).send(notificationOf(), never);
    expect(outcome).toMatchObject({
      isDelivered: false,
      isPermanent,
      detail: `the mail server answered with ${responseCode}`,
    });
    expect(JSON.stringify(outcome)).not.toContain("secret-account");
  });

  test("names of an agent's making add no header", async () => {
    const { port, mails } = await startMailServer();
    const summary = "Node x\r\nBcc: everybody@example.org\r\n\r\nis away";
    await channelTo(port).send(notificationOf({ alerts: [alertOf({ summary })] }), never);
    expect(mails[0]?.to).toEqual(["ops@example.org", "night@example.org"]);
    expect(mails[0]?.text.split("\r\n\r\n")[0]).not.toMatch(/^Bcc:/m);
  });

  test("a server that is not there is tried again", async () => {
    const outcome = await channelTo(1).send(notificationOf(), never);
    expect(outcome).toMatchObject({ isDelivered: false, isPermanent: false });
    expect(JSON.stringify(outcome)).not.toContain("127.0.0.1");
  });

  // `close` of the library's transport ends nothing that is under way: a server that kept talking held the channel.
  test.each([
    ["its time is over", (_stop: AbortController, clock: ManualClock) => clock.advance(30_000), /within 30 s/],
    ["the gateway stops", (stop: AbortController) => stop.abort(), /the gateway stopped/],
  ])("a server that goes on and on is left when %s", async (_when, end, detail) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write("220-wait\r\n");
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => new Promise((resolve) => server.close(() => resolve())));
    const { port } = server.address() as AddressInfo;
    const parts = partsOf();
    const stop = new AbortController();
    const sending = createSmtp(parts, { ...CONFIG, port }).send(notificationOf(), stop.signal);
    const [socket] = (await once(server, "connection")) as [Socket];
    end(stop, parts.clock);
    expect(await sending).toMatchObject({ isDelivered: false, detail: expect.stringMatching(detail) });
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    expect(parts.clock.pendingTimers).toBe(0);
  });
});
