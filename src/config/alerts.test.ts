import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toPosternError } from "../errors.ts";
import { DEFAULT_ALERTS } from "./alerts.ts";
import { type ConfigPart, loadConfig } from "./load.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function load(yaml: string, env: Record<string, string> = {}, part: ConfigPart = "gateway") {
  writeFileSync(join(folder, "postern.yaml"), yaml);
  return loadConfig({ part, cwd: folder, env: { POSTERN_DATA: folder, ...env } }).alerts;
}

function faultOf(yaml: string, env: Record<string, string> = {}): string {
  try {
    load(yaml, env);
  } catch (error) {
    return toPosternError(error).message;
  }
  return "";
}

const channel = (words: string) => `alerts: { channels: { ops: { ${words} } } }\n`;

describe("alerts in postern.yaml", () => {
  test("are judged by their defaults and told to nobody where the file says nothing", () => {
    expect(load("")).toEqual(DEFAULT_ALERTS);
  });

  test("change a rule in what they say, and leave the rest of it", () => {
    const { rules } = load(
      "alerts: { rules: { error-ratio: { above: 0.2, window: 10m, for: 2m, severity: warning }, budget: { enabled: false }, certificate: { within: 14d } } }",
    );
    const base = DEFAULT_ALERTS.rules;
    const changed = { threshold: 0.2, windowMs: 600_000, forMs: 120_000, severity: "warning" };
    expect(rules["error-ratio"]).toEqual({ ...base["error-ratio"], ...changed });
    expect(rules.budget).toEqual({ ...base.budget, isEnabled: false });
    expect(rules.certificate.threshold).toBe(14 * 86_400_000);
    expect(rules["node-away"]).toEqual(base["node-away"]);
  });

  test("refuse a field that means nothing for the rule, and values out of bounds", () => {
    expect(faultOf("alerts: { rules: { node-away: { above: 3 } } }")).toContain("is not a key that exists");
    expect(faultOf("alerts: { rules: { error-ratio: { above: 5 } } }")).toContain("must be at most 1");
    expect(faultOf("alerts: { rules: { no-such-rule: { enabled: false } } }")).toContain("is not a key that exists");
  });

  test("have channels of every type, with secrets from the environment and from files", () => {
    writeFileSync(join(folder, "password"), "hunter2\n");
    const env = { HOOK: "https://hooks.example.org/x", KEY: "whsec_MDEyMzQ1", TOPIC: "quiet", TOKEN: "tk_1" };
    const { channels, heartbeat } = load(
      `alerts:
  heartbeat: { url: env:HOOK, every: 5m }
  channels:
    hook: { type: webhook, url: env:HOOK, secret: env:KEY, severity: critical, rules: [store, node-away] }
    chat: { type: slack, url: env:HOOK }
    phone: { type: ntfy, topic: env:TOPIC, token: env:TOKEN }
    mail: { type: smtp, host: mail.example.org, user: postern, password: file:password, from: p@example.org, to: [a@example.org] }
    prom: { type: alertmanager, url: "http://127.0.0.1:9093" }
`,
      env,
    );
    expect(channels).toMatchObject([
      { name: "hook", type: "webhook", severity: "critical", rules: ["store", "node-away"], caFile: null },
      { name: "chat", type: "slack", severity: "info", rules: null },
      { name: "phone", type: "ntfy" },
      { name: "mail", type: "smtp", port: 587, tls: "starttls", user: "postern" },
      { name: "prom", type: "alertmanager" },
    ]);
    const secrets = channels.map((one) => ("url" in one ? one.url.reveal() : one.password?.reveal()));
    expect(secrets).toEqual([env.HOOK, env.HOOK, "https://ntfy.sh", "hunter2", "http://127.0.0.1:9093"]);
    expect(heartbeat?.everyMs).toBe(300_000);
    // As `config show` prints it.
    expect(JSON.stringify([channels, heartbeat])).not.toMatch(/hooks\.example|whsec|quiet|tk_1|hunter2/);
  });

  test("are not opened by a program that does not need them", () => {
    expect(load(channel("type: slack, url: env:NOT_SET"), {}, "none").channels).toHaveLength(1);
    expect(faultOf(channel("type: slack, url: env:NOT_SET"))).toContain("NOT_SET, which is not set");
  });

  test.each([
    ["http://hooks.example.org/x", "would send messages in clear"],
    ["http://203.0.113.7/x", "would send messages in clear"],
    ["https://user:word@hooks.example.org/x", "must not have a user or password in it"],
    ["gopher://hooks.example.org", "must be an address"],
  ])("refuse the address %s, without showing it", (url, rule) => {
    const fault = faultOf(channel("type: slack, url: env:HOOK"), { HOOK: url });
    expect(fault).toContain(rule);
    expect(fault).not.toMatch(/hooks\.example|203\.0\.113/);
  });

  test("show no address that stands in the file itself", () => {
    const fault = faultOf(channel('type: slack, url: "hooks.example.org/secret"'));
    expect(fault).toContain("must be env:NAME or file:PATH");
    expect(fault).not.toContain("hooks.example.org");
    expect(faultOf(channel("type: ntfy, topic: my-secret-topic"))).not.toContain("my-secret-topic");
  });

  test("take clear text on this machine and private networks, and elsewhere where that is said", () => {
    for (const url of ["http://localhost:9093", "http://10.0.0.5:9093", "http://[fd00::1]:9093"]) {
      expect(faultOf(channel(`type: alertmanager, url: "${url}"`))).toBe("");
    }
    expect(
      faultOf(channel('type: alertmanager, url: "http://alertmanager.monitoring:9093", acceptPlaintext: true')),
    ).toBe("");
    const mail = "type: smtp, host: mail.example.org, from: p@example.org, to: [a@example.org], tls: none";
    expect(faultOf(channel(mail))).toContain("would send messages in clear");
    expect(faultOf(channel(`${mail}, acceptPlaintext: true`))).toBe("");
  });

  test("refuse mail with a user and no password, and addresses that would add a header", () => {
    expect(
      faultOf(channel("type: smtp, host: m.example.org, user: x, from: p@example.org, to: [a@example.org]")),
    ).toContain('needs "user" and "password" together');
    expect(
      faultOf(channel('type: smtp, host: m.example.org, from: "p@example.org\\nBcc: x@y", to: [a@example.org]')),
    ).toContain("must be a mail address");
  });

  test("refuse a webhook's key that is no base64 where it says that it is", () => {
    const hook = channel("type: webhook, url: env:HOOK, secret: env:KEY");
    expect(faultOf(hook, { HOOK: "https://x.example.org", KEY: "whsec_???" })).toContain("whsec_");
    expect(faultOf(hook, { HOOK: "https://x.example.org", KEY: "whsec_???" })).not.toContain("???");
  });
});
