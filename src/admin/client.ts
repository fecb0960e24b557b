import { type AdminTransport, type Ask, createAsk, type Input, SLOW_TIMEOUT_MS, searchOf } from "./ask.ts";
import { AlertClient } from "./client-alerts.ts";
import { DrillClient } from "./client-drills.ts";
import { type BackupResult, backupResult } from "./contract.ts";
import {
  type CreatedToken,
  type CreateTokenInput,
  type CreateUserInput,
  createdToken,
  type RevokedTokens,
  revokedTokens,
  type SessionView,
  type SetupLink,
  sessionList,
  sessionView,
  setupLink,
  type TokenView,
  tokenList,
  type UpdateUserInput,
  type UserView,
  user,
  userList,
} from "./contract-access.ts";
import { type CaptureView, captureView } from "./contract-captures.ts";
import {
  type ApprovalsView,
  approvalsView,
  type ContingencyOff,
  type ContingencyOffInput,
  type ContingencyOnInput,
  type ContingencyView,
  type ContinuityReview,
  contingencyOff,
  contingencyView,
  continuityReview,
  type GrantApprovalInput,
} from "./contract-continuity.ts";
import {
  type CreatedKey,
  type CreateKeyInput,
  createdKey,
  type KeyView,
  keyList,
  keyView,
  type RotateKeyInput,
  type UpdateKeyInput,
} from "./contract-keys.ts";
import {
  type ModelView,
  modelList,
  modelView,
  type ProbeInput,
  type ProbeResult,
  probeResult,
  type RollBackInput,
  type WeightInput,
} from "./contract-models.ts";
import {
  type InvitedNode,
  type InviteNodeInput,
  invitedNode,
  type NodeView,
  nodeList,
  nodeView,
  type RemovedNode,
  removedNode,
  type UpdateNodeInput,
  type WakeInput,
} from "./contract-nodes.ts";
import {
  type AuditListQuery,
  type AuditPage,
  type AuditVerdictView,
  auditPage,
  auditVerdict,
  type RequestPage,
  type RequestQuery,
  requestPage,
} from "./contract-records.ts";
import { type Status, status } from "./contract-status.ts";
import { type RequestView, requestView, type UsageGroup, type UsageReport, usageReport } from "./contract-usage.ts";
import {
  type AddressTest,
  addressTest,
  type ChangedRule,
  type CreateEndpointInput,
  type CreateRuleInput,
  changedRule,
  type EndpointView,
  endpointList,
  endpointView,
  type RemovedEndpoint,
  type RuleView,
  removedEndpoint,
  ruleList,
  type TestAddressInput,
  type UpdateEndpointInput,
} from "./places-contract.ts";

/**
 * The admin contract from the asking side. Each method rejects with the `PosternError` that the gateway answered, with
 * `gateway_unreachable`, or with the signal's reason; the default deadline is 30 s, for probes and backups 15 min.
 */
export class AdminClient {
  readonly #transport: AdminTransport;
  readonly #ask: Ask;
  readonly alerts: AlertClient;
  /** Failover drills. */
  readonly drills: DrillClient;

  constructor(transport: AdminTransport, signal?: AbortSignal) {
    this.#transport = transport;
    this.#ask = createAsk(transport, signal);
    this.alerts = new AlertClient(this.#ask);
    this.drills = new DrillClient(this.#ask);
  }

  status(): Promise<Status> {
    return this.#ask("GET", "/status", status);
  }

  async listKeys(): Promise<KeyView[]> {
    return (await this.#ask("GET", "/keys", keyList)).keys;
  }

  createKey(input: Pick<CreateKeyInput, "name"> & Input<CreateKeyInput>): Promise<CreatedKey> {
    return this.#ask("POST", "/keys", createdKey, input);
  }

  showKey(idOrName: string): Promise<KeyView> {
    return this.#ask("GET", `/keys/${encodeURIComponent(idOrName)}`, keyView);
  }

  updateKey(idOrName: string, input: UpdateKeyInput): Promise<KeyView> {
    return this.#ask("PATCH", `/keys/${encodeURIComponent(idOrName)}`, keyView, input);
  }

  rotateKey(idOrName: string, input: Input<RotateKeyInput> = {}): Promise<CreatedKey> {
    return this.#ask("POST", `/keys/${encodeURIComponent(idOrName)}/rotate`, createdKey, input);
  }

  disableKey(idOrName: string): Promise<KeyView> {
    return this.#ask("POST", `/keys/${encodeURIComponent(idOrName)}/disable`, keyView);
  }

  enableKey(idOrName: string): Promise<KeyView> {
    return this.#ask("POST", `/keys/${encodeURIComponent(idOrName)}/enable`, keyView);
  }

  revokeKey(idOrName: string): Promise<KeyView> {
    return this.#ask("POST", `/keys/${encodeURIComponent(idOrName)}/revoke`, keyView);
  }

  async listEndpoints(): Promise<EndpointView[]> {
    return (await this.#ask("GET", "/endpoints", endpointList)).endpoints;
  }

  showEndpoint(name: string): Promise<EndpointView> {
    return this.#ask("GET", `/endpoints/${encodeURIComponent(name)}`, endpointView);
  }

  createEndpoint(input: Pick<CreateEndpointInput, "name"> & Input<CreateEndpointInput>): Promise<EndpointView> {
    return this.#ask("POST", "/endpoints", endpointView, input);
  }

  updateEndpoint(name: string, input: UpdateEndpointInput): Promise<EndpointView> {
    return this.#ask("PATCH", `/endpoints/${encodeURIComponent(name)}`, endpointView, input);
  }

  removeEndpoint(name: string): Promise<RemovedEndpoint> {
    return this.#ask("DELETE", `/endpoints/${encodeURIComponent(name)}`, removedEndpoint);
  }

  async listRules(): Promise<RuleView[]> {
    return (await this.#ask("GET", "/access/rules", ruleList)).rules;
  }

  createRule(input: Pick<CreateRuleInput, "effect" | "range"> & Input<CreateRuleInput>): Promise<ChangedRule> {
    return this.#ask("POST", "/access/rules", changedRule, input);
  }

  removeRule(name: string): Promise<ChangedRule> {
    return this.#ask("DELETE", `/access/rules/${encodeURIComponent(name)}`, changedRule);
  }

  testAddress(input: Pick<TestAddressInput, "address"> & Input<TestAddressInput>): Promise<AddressTest> {
    return this.#ask("POST", "/access/test", addressTest, input);
  }

  async listNodes(): Promise<NodeView[]> {
    return (await this.#ask("GET", "/nodes", nodeList)).nodes;
  }

  inviteNode(input: Pick<InviteNodeInput, "name"> & Input<InviteNodeInput>): Promise<InvitedNode> {
    return this.#ask("POST", "/nodes", invitedNode, input);
  }

  showNode(name: string): Promise<NodeView> {
    return this.#ask("GET", `/nodes/${encodeURIComponent(name)}`, nodeView);
  }

  updateNode(name: string, input: UpdateNodeInput): Promise<NodeView> {
    return this.#ask("PATCH", `/nodes/${encodeURIComponent(name)}`, nodeView, input);
  }

  removeNode(name: string, force = false): Promise<RemovedNode> {
    const search = force ? "?force=true" : "";
    return this.#ask("DELETE", `/nodes/${encodeURIComponent(name)}${search}`, removedNode);
  }

  drainNode(name: string, force = false): Promise<NodeView> {
    return this.#ask("POST", `/nodes/${encodeURIComponent(name)}/drain`, nodeView, { force });
  }

  resumeNode(name: string): Promise<NodeView> {
    return this.#ask("POST", `/nodes/${encodeURIComponent(name)}/resume`, nodeView);
  }

  setWake(name: string, wake: WakeInput["wake"]): Promise<NodeView> {
    return this.#ask("PUT", `/nodes/${encodeURIComponent(name)}/wake`, nodeView, { wake });
  }

  wakeNode(name: string): Promise<NodeView> {
    return this.#ask("POST", `/nodes/${encodeURIComponent(name)}/wake`, nodeView);
  }

  setWeight(input: WeightInput): Promise<ModelView> {
    return this.#ask("POST", "/models/weights", modelView, input);
  }

  rollBackWeights(input: RollBackInput): Promise<ModelView> {
    return this.#ask("POST", "/models/weights/rollback", modelView, input);
  }

  contingency(): Promise<ContingencyView> {
    return this.#ask("GET", "/contingency", contingencyView);
  }

  contingencyOn(input: Pick<ContingencyOnInput, "reason"> & Input<ContingencyOnInput>): Promise<ContingencyView> {
    return this.#ask("POST", "/contingency", contingencyView, input);
  }

  contingencyOff(input: Input<ContingencyOffInput>): Promise<ContingencyOff> {
    return this.#ask("POST", "/contingency/off", contingencyOff, input);
  }

  reviewContinuity(): Promise<ContinuityReview> {
    return this.#ask("GET", "/continuity", continuityReview);
  }

  approvals(): Promise<ApprovalsView> {
    return this.#ask("GET", "/approvals", approvalsView);
  }

  approve(id: string, forMs: number | null = null): Promise<ApprovalsView> {
    return this.#ask("POST", `/approvals/${encodeURIComponent(id)}/approve`, approvalsView, { forMs });
  }

  deny(id: string): Promise<ApprovalsView> {
    return this.#ask("POST", `/approvals/${encodeURIComponent(id)}/deny`, approvalsView);
  }

  grantApproval(input: GrantApprovalInput): Promise<ApprovalsView> {
    return this.#ask("POST", "/approvals/grants", approvalsView, input);
  }

  revokeApproval(scope: string): Promise<ApprovalsView> {
    return this.#ask("DELETE", `/approvals/grants/${encodeURIComponent(scope)}`, approvalsView);
  }

  async listModels(): Promise<ModelView[]> {
    return (await this.#ask("GET", "/models", modelList)).models;
  }

  probeModel(input: Pick<ProbeInput, "model"> & Input<ProbeInput>): Promise<ProbeResult> {
    return this.#ask("POST", "/models/probe", probeResult, input, SLOW_TIMEOUT_MS);
  }

  usage(query: { by: UsageGroup; sinceMs?: number; untilMs?: number }): Promise<UsageReport> {
    return this.#ask("GET", `/usage${searchOf(query)}`, usageReport);
  }

  request(id: string): Promise<RequestView> {
    return this.#ask("GET", `/requests/${encodeURIComponent(id)}`, requestView);
  }

  capture(id: string): Promise<CaptureView> {
    return this.#ask("GET", `/requests/${encodeURIComponent(id)}/capture`, captureView);
  }

  backup(path: string): Promise<BackupResult> {
    return this.#ask("POST", "/backup", backupResult, { path }, SLOW_TIMEOUT_MS);
  }

  listRequests(query: Partial<RequestQuery>): Promise<RequestPage> {
    return this.#ask("GET", `/requests${searchOf(query)}`, requestPage);
  }

  listAudit(query: Partial<AuditListQuery>): Promise<AuditPage> {
    return this.#ask("GET", `/audit${searchOf(query)}`, auditPage);
  }

  verifyAudit(anchor?: string): Promise<AuditVerdictView> {
    return this.#ask("GET", `/audit/verify${searchOf({ anchor })}`, auditVerdict, undefined, SLOW_TIMEOUT_MS);
  }

  async listTokens(): Promise<TokenView[]> {
    return (await this.#ask("GET", "/tokens", tokenList)).tokens;
  }

  createToken(input: Pick<CreateTokenInput, "name"> & Input<CreateTokenInput>): Promise<CreatedToken> {
    return this.#ask("POST", "/tokens", createdToken, input);
  }

  revokeToken(idOrName: string): Promise<RevokedTokens> {
    return this.#ask("POST", `/tokens/${encodeURIComponent(idOrName)}/revoke`, revokedTokens);
  }

  async listUsers(): Promise<UserView[]> {
    return (await this.#ask("GET", "/users", userList)).users;
  }

  createUser(input: Pick<CreateUserInput, "name" | "password"> & Input<CreateUserInput>): Promise<UserView> {
    return this.#ask("POST", "/users", user, input);
  }

  updateUser(name: string, input: Input<UpdateUserInput>): Promise<UserView> {
    return this.#ask("PATCH", `/users/${encodeURIComponent(name)}`, user, input);
  }

  removeUser(name: string): Promise<UserView> {
    return this.#ask("DELETE", `/users/${encodeURIComponent(name)}`, user);
  }

  async listSessions(): Promise<SessionView[]> {
    return (await this.#ask("GET", "/sessions", sessionList)).sessions;
  }

  endSession(id: string): Promise<SessionView> {
    return this.#ask("DELETE", `/sessions/${encodeURIComponent(id)}`, sessionView);
  }

  createSetupLink(onlyOnce: boolean): Promise<SetupLink> {
    return this.#ask("POST", "/setup-link", setupLink, { onlyOnce });
  }

  close(): Promise<void> {
    return this.#transport.close();
  }
}
