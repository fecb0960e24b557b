import { describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { type ApprovalRequest, Approvals, approvalScope } from "./approvals.ts";

const MINUTE = 60_000;

function setUp() {
  const clock = new ManualClock();
  const events: string[] = [];
  const approvals = new Approvals({ requests: 2, waitMs: 5 * MINUTE }, (event) => {
    const about = "request" in event ? event.request.id : event.scope;
    events.push(`${event.kind} ${about}`);
  });
  const at = () => ({ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() });
  const request = (id: string, scope = "audit"): ApprovalRequest => ({
    id,
    scope,
    keyId: "k",
    model: "m",
    to: "cloud",
  });
  return { clock, events, approvals, at, request };
}

describe("Approvals", () => {
  test("let a request wait until somebody answers, and keep the answer until it is over", () => {
    const { approvals, at, request, events } = setUp();
    expect(approvals.ask(request("a"), at())).toBe("waiting");
    expect(approvals.ask(request("a"), at())).toBe("waiting");
    expect(approvals.isApproved("a", () => "audit", at())).toBe(false);
    expect(approvals.decide("a", true, "ada")).toBe(true);
    expect(approvals.ask(request("a"), at())).toBe("approved");
    expect(approvals.isApproved("a", () => "audit", at())).toBe(true);
    expect(approvals.decide("a", false, "bob")).toBe(false);
    approvals.leave("a");
    approvals.leave("a");
    expect(approvals.isApproved("a", () => "audit", at())).toBe(false);
    expect(events).toEqual(["asked a", "decided a"]);
  });

  test("of one request say nothing about another, approved or denied", () => {
    const { approvals, at, request } = setUp();
    approvals.ask(request("a"), at());
    approvals.ask(request("b"), at());
    approvals.decide("a", true, "ada");
    approvals.decide("b", false, "ada");
    expect(approvals.ask(request("b"), at())).toBe("denied");
    expect(approvals.ask(request("c"), at())).toBe("waiting");
  });

  test("are bounded in those that wait", () => {
    const { approvals, at, request } = setUp();
    approvals.ask(request("a"), at());
    approvals.ask(request("b"), at());
    expect(approvals.ask(request("c"), at())).toBe("full");
    approvals.decide("a", true, "ada");
    expect(approvals.ask(request("c"), at())).toBe("waiting");
    expect(approvals.waiting).toBe(2);
  });

  test("for a time cover a workflow until it is over or taken back, and no other", () => {
    const { approvals, at, request, clock, events } = setUp();
    approvals.ask(request("a"), at());
    expect(approvals.grant("audit", 30 * MINUTE, "ada", at())).toBe(true);
    expect(approvals.ask(request("a"), at())).toBe("approved");
    expect(approvals.isApproved("z", () => "audit", at())).toBe(true);
    expect(approvals.isApproved("z", () => "chat", at())).toBe(false);
    clock.jump(24 * 60 * MINUTE);
    expect(approvals.isApproved("z", () => "audit", at())).toBe(true);
    clock.advance(30 * MINUTE);
    expect(approvals.isApproved("z", () => "audit", at())).toBe(false);
    approvals.grant("audit", MINUTE, "ada", at());
    expect(approvals.revoke("audit", "bob")).toBe(true);
    expect(approvals.revoke("audit", "bob")).toBe(false);
    expect(approvals.ask(request("b"), at())).toBe("waiting");
    expect(events).toEqual(["asked a", "granted audit", "expired audit", "granted audit", "revoked audit", "asked b"]);
  });

  test("show who waits since when and until when, and what stands", () => {
    const { approvals, at, request, clock } = setUp();
    const atMs = clock.nowMs();
    approvals.ask(request("a"), at());
    approvals.grant("chat", MINUTE, "ada", at());
    expect(approvals.view(at())).toEqual({
      waiting: [{ ...request("a"), sinceMs: atMs, untilMs: atMs + 5 * MINUTE }],
      grants: [{ scope: "chat", by: "ada", sinceMs: atMs, untilMs: atMs + MINUTE }],
    });
  });
});

test("approvalScope() is the workflow, or the key where it has none", () => {
  expect(approvalScope("audit", "k")).toBe("audit");
  expect(approvalScope(undefined, "k")).toBe("key:k");
});
