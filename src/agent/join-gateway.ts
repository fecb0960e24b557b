import { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Secret } from "../lib/secret.ts";
import { join } from "../tunnel/dial.ts";
import { parseInvitation } from "../tunnel/invitation.ts";
import { type ProxyEnvironment, proxyFor } from "../tunnel/proxy-connect.ts";
import type { AgentState, Membership } from "./state.ts";

export interface JoinOptions {
  state: AgentState;
  /** Origin of the gateway; null: the one that was joined before. */
  gateway: URL | null;
  /** `pstn_…`; null: this agent has joined before. */
  invitation: Secret | null;
  agentVersion: string;
  tables: { operations: number; fields: number };
  environment: ProxyEnvironment;
  clock: Clock;
  signal: AbortSignal;
}

/**
 * Finds out which gateway this agent belongs to, and uses the invitation up where there is one.
 *
 * Giving the same invitation again, as a service that is restarted does, is safe: the gateway knows the connector then.
 * When it cannot be reached now, what was remembered counts.
 *
 * @throws PosternError `invalid_input` (no invitation at all, or one that cannot be read), `invitation_refused`,
 *   `gateway_unreachable`, `gateway_not_trusted`, `version_mismatch`, `connector_refused` (never joined).
 */
export async function joinGateway(options: JoinOptions): Promise<Membership> {
  const { state, gateway, invitation } = options;
  if (invitation === null) {
    const known = state.membership;
    if (known === null) {
      throw new PosternError("connector_refused", {
        message: "Cannot connect to a gateway: this machine has not joined one",
        hint: "Run `postern nodes invite NAME` on the gateway and paste the line that it prints here.",
      });
    }
    return gateway === null ? known : { ...known, gateway: gateway.origin };
  }
  const parsed = parseInvitation(invitation.reveal());
  if (parsed === null) {
    throw new PosternError("invalid_input", {
      message: "Cannot join: the invitation is not whole",
      hint: "Copy the whole line that `postern nodes invite NAME` printed, from pstn_ to the end.",
    });
  }
  const url = gateway ?? (state.membership === null ? null : new URL(state.membership.gateway));
  if (url === null) {
    throw new PosternError("invalid_input", { message: "Cannot join: the URL of the gateway is missing" });
  }
  const result = await join(
    {
      url,
      identity: state.identity,
      proxy: proxyFor(url, options.environment),
      agentVersion: options.agentVersion,
      tables: options.tables,
      epoch: state.nextEpoch(),
      clock: options.clock,
      signal: options.signal,
    },
    parsed,
  );
  if (!result.ok) {
    const isMember = state.membership?.gatewayFingerprint === parsed.gatewayFingerprint;
    if (isMember && !result.failure.permanent && state.membership !== null) return state.membership;
    throw result.failure.error;
  }
  const { acceptance, gatewayFingerprint } = result.value;
  const membership = { gateway: url.origin, gatewayFingerprint, node: acceptance.node };
  state.join(membership);
  return membership;
}
