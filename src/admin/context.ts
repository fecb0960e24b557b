import type { KeyRecord } from "../access/key.ts";
import type { Places } from "../access/places.ts";
import type { ContingencyBook } from "../continuity/contingency-book.ts";
import type { DrillRecord } from "../continuity/drill/record.ts";
import type { ReviewModel } from "../continuity/single-points.ts";
import type { SteeringBook } from "../routing/steering-book.ts";
import type { NodeRecord } from "../storage/store.ts";
import type { Link, NodeReport } from "../tunnel/link.ts";
import type { ApprovalDesk } from "./approval-admin.ts";
import type { BackupResult } from "./contract.ts";
import type {
  ChangePasswordInput,
  CreatedToken,
  CreateTokenInput,
  CreateUserInput,
  LogInInput,
  Me,
  RevokedTokens,
  SessionView,
  SetUpInput,
  SetupLink,
  TokenView,
  UpdateUserInput,
  UserView,
} from "./contract-access.ts";
import type {
  Acknowledged,
  AcknowledgeInput,
  AlertChannelView,
  AlertHistoryPage,
  AlertHistoryQuery,
  AlertList,
  AlertRuleView,
  AlertTest,
  FiringAlert,
  HeartbeatView,
  SilenceInput,
  SilenceView,
  TestAlertsInput,
} from "./contract-alerts.ts";
import type { CaptureView } from "./contract-captures.ts";
import type {
  ApprovalsView,
  ContingencyOff,
  ContingencyOffInput,
  ContingencyOnInput,
  ContingencyView,
  ContinuityReview,
  GrantApprovalInput,
} from "./contract-continuity.ts";
import type {
  DrillPlanView,
  DrillQuery,
  DrillReport,
  DrillSummary,
  DrillWindows,
  JudgeSampleInput,
  NoteDrillInput,
  StartDrillInput,
} from "./contract-drills.ts";
import type { CreatedKey, CreateKeyInput, KeyView, RotateKeyInput, UpdateKeyInput } from "./contract-keys.ts";
import type { ModelView, ProbeInput, ProbeResult, RollBackInput, WeightInput } from "./contract-models.ts";
import type {
  InvitedNode,
  InviteNodeInput,
  NodeView,
  RemovedNode,
  UpdateNodeInput,
  WakeInput,
} from "./contract-nodes.ts";
import type {
  AuditAnchor,
  AuditListQuery,
  AuditPage,
  AuditVerdictView,
  Health,
  RequestPage,
  RequestQuery,
  Settings,
} from "./contract-records.ts";
import type { Status } from "./contract-status.ts";
import type { RequestView, UsageGroup, UsageReport } from "./contract-usage.ts";
import type { LiveDrills } from "./live-drills.ts";
import type {
  AddressTest,
  ChangedRule,
  CreateEndpointInput,
  CreateRuleInput,
  EndpointView,
  RemovedEndpoint,
  RuleView,
  TestAddressInput,
  UpdateEndpointInput,
} from "./places-contract.ts";
import type { LoggedIn } from "./session-admin.ts";

/**
 * What the routes of `/admin/v1` call, in the name of one caller. Made by `createAdmin` for a running gateway and for the offline CLI
 * alike.
 *
 * Every method rejects with a `PosternError`: `not_found`, `already_exists`, `invalid_input` or a `store_*` code.
 */
export interface AdminContext {
  status(): Promise<Status>;
  listKeys(): Promise<KeyView[]>;
  /** By id, or by name where exactly one key has it. */
  showKey(idOrName: string): Promise<KeyView>;
  createKey(input: CreateKeyInput): Promise<CreatedKey>;
  /** Running requests that the new policy would refuse end. A revoked key is `invalid_input`. */
  updateKey(idOrName: string, input: UpdateKeyInput): Promise<KeyView>;
  /** A new secret. The old one, and what it opened, lasts as long as the grace; one that is older than that ends now. */
  rotateKey(idOrName: string, input: RotateKeyInput): Promise<CreatedKey>;
  /** Idempotent. When it resolves, the key opens nothing until it is enabled, and its streams have been told to end. */
  disableKey(idOrName: string): Promise<KeyView>;
  /** Idempotent. */
  enableKey(idOrName: string): Promise<KeyView>;
  /** Idempotent. When it resolves, the key opens nothing any more and its streams have been told to end. */
  revokeKey(idOrName: string): Promise<KeyView>;
  listEndpoints(): Promise<EndpointView[]>;
  showEndpoint(name: string): Promise<EndpointView>;
  createEndpoint(input: CreateEndpointInput): Promise<EndpointView>;
  updateEndpoint(name: string, input: UpdateEndpointInput): Promise<EndpointView>;
  /** Refused while a key that works belongs to it. */
  removeEndpoint(name: string): Promise<RemovedEndpoint>;
  listRules(): Promise<RuleView[]>;
  /** When it resolves, the rule decides and what runs against it has been told to end. */
  createRule(input: CreateRuleInput): Promise<ChangedRule>;
  removeRule(name: string): Promise<ChangedRule>;
  testAddress(input: TestAddressInput): Promise<AddressTest>;
  listNodes(): Promise<NodeView[]>;
  showNode(name: string): Promise<NodeView>;
  /** Makes the node when there is none of that name. */
  inviteNode(input: InviteNodeInput): Promise<InvitedNode>;
  /** Counts for the next request. */
  updateNode(name: string, input: UpdateNodeInput): Promise<NodeView>;
  /**
   * Forgets the node, its connectors and invitations, and ends its links. Rejects with `required_model` where that would leave a
   * required model with nobody who serves it, unless it is forced; so do draining and weights.
   */
  removeNode(name: string, options: { force: boolean }): Promise<RemovedNode>;
  /** No new requests go there; those that run finish. Idempotent. */
  drainNode(name: string, options: { force: boolean }): Promise<NodeView>;
  /** Idempotent. */
  resumeNode(name: string): Promise<NodeView>;
  /** Rejects when no gateway runs. */
  setWeight(input: WeightInput): Promise<ModelView>;
  /** How a machine is woken by itself when requests wait for it. Null: it is not. */
  setWake(name: string, setting: WakeInput["wake"]): Promise<NodeView>;
  /** Has it woken now. Rejects when no gateway runs, and where nobody can be asked. */
  wakeNode(name: string): Promise<NodeView>;
  /** The weights of before the last change. */
  rollBackWeights(input: RollBackInput): Promise<ModelView>;
  contingency(): Promise<ContingencyView>;
  /** When it resolves, no new request goes to a provider in that scope. Rejects with `not_found` where no key has the workflow. */
  contingencyOn(input: ContingencyOnInput): Promise<ContingencyView>;
  /** Idempotent. */
  contingencyOff(input: ContingencyOffInput): Promise<ContingencyOff>;
  /** Rejects when no gateway runs. */
  reviewContinuity(): Promise<ContinuityReview>;
  listApprovals(): Promise<ApprovalsView>;
  /** Answers one request that waits. With `forMs` an approval covers its workflow, or its key where it has none, for that long. */
  decideApproval(id: string, isApproved: boolean, forMs: number | null): Promise<ApprovalsView>;
  /** Approves a workflow or key for a time. */
  grantApproval(input: GrantApprovalInput): Promise<ApprovalsView>;
  /** Requests that run go on. */
  revokeApproval(scope: string): Promise<ApprovalsView>;
  listModels(): Promise<ModelView[]>;
  /** Rejects only when no gateway runs; a model that does not answer is a result with `ok: false`. */
  probeModel(input: ProbeInput, signal: AbortSignal): Promise<ProbeResult>;
  usage(query: { by: UsageGroup; sinceMs?: number | undefined; untilMs?: number | undefined }): Promise<UsageReport>;
  request(id: string): Promise<RequestView>;
  listDrills(query: DrillQuery): Promise<DrillSummary[]>;
  /** Rejects with `drill_refused`, and every reason. */
  startDrill(input: StartDrillInput): Promise<DrillRecord>;
  showDrill(id: string): Promise<DrillRecord>;
  drillReport(id: string, format: DrillReport["format"]): Promise<DrillReport>;
  /** When it resolves, nothing is blocked and the report is written. */
  abortDrill(id: string): Promise<DrillRecord>;
  judgeDrill(id: string, input: JudgeSampleInput): Promise<DrillRecord>;
  noteDrill(id: string, input: NoteDrillInput): Promise<DrillRecord>;
  drillPlans(): Promise<DrillPlanView[]>;
  drillWindows(hours: number): Promise<DrillWindows>;
  /** What was kept of a request; that it was read is in the audit trail before this resolves. */
  capture(id: string): Promise<CaptureView>;
  backup(path: string): Promise<BackupResult>;
  health(): Promise<Health>;
  settings(): Promise<Settings>;
  /** Finished requests, newest first, page by page. */
  listRequests(query: RequestQuery): Promise<RequestPage>;
  listAudit(query: AuditListQuery): Promise<AuditPage>;
  /** Walks the whole chain. */
  verifyAudit(anchor: AuditAnchor | null): Promise<AuditVerdictView>;
  listAlerts(): Promise<AlertList>;
  alertRules(): Promise<AlertRuleView[]>;
  alertHistory(query: AlertHistoryQuery): Promise<AlertHistoryPage>;
  /** Rejects only when there is nothing to test; a channel that does not take it is a result. */
  testAlerts(input: TestAlertsInput, signal: AbortSignal): Promise<AlertTest>;
  silenceAlerts(input: SilenceInput): Promise<SilenceView>;
  unsilenceAlerts(id: string): Promise<SilenceView>;
  /** Of an alert that fires. Idempotent: the first one counts. */
  acknowledgeAlert(id: string, input: AcknowledgeInput): Promise<Acknowledged>;
  /** Who the caller is. */
  me(): Promise<Me>;
  /** Rejects with `unauthorized` or `too_many_failures`. */
  logIn(input: LogInInput): Promise<LoggedIn>;
  logOut(): Promise<void>;
  /** Of the caller; ends the caller's logins, this one too. */
  changePassword(input: ChangePasswordInput): Promise<void>;
  /** Makes the first user, an owner, with a code of `createSetupLink`. */
  setUp(input: SetUpInput): Promise<LoggedIn>;
  /** @param onlyOnce Rejects with `already_exists` when one was ever made. */
  createSetupLink(input: { onlyOnce: boolean }): Promise<SetupLink>;
  listTokens(): Promise<TokenView[]>;
  createToken(input: CreateTokenInput): Promise<CreatedToken>;
  /** Ends the token and those that it had made, and what they are doing. Idempotent. */
  revokeToken(idOrName: string): Promise<RevokedTokens>;
  listUsers(): Promise<UserView[]>;
  createUser(input: CreateUserInput): Promise<UserView>;
  /** Ends the user's logins. */
  updateUser(name: string, input: UpdateUserInput): Promise<UserView>;
  /** Ends the user's logins and tokens. */
  removeUser(name: string): Promise<UserView>;
  listSessions(): Promise<SessionView[]>;
  endSession(id: string): Promise<SessionView>;
}

/** Alerts of a running gateway. */
export interface LiveAlerts {
  /** What fires, and how the channels do. */
  view(): {
    firing: Array<Omit<FiringAlert, "nextStep">>;
    pending: AlertList["pending"];
    channels: AlertChannelView[];
    heartbeat: HeartbeatView | null;
  };
  /** One try on each channel, or on the one that is named. Does not reject. */
  test(channel: string | null, signal: AbortSignal): Promise<AlertTest["results"]>;
  /** Reads the silences of the store again. Rejects with `store_*` codes. */
  silencesChanged(): Promise<void>;
  acknowledged(id: string, ack: Acknowledged["ack"]): void;
}

/**
 * What only a running gateway knows and does; implemented by the gateway, absent offline.
 *
 * Called after the store has the change, so that a crash between the two is cured by the next start.
 */
export interface LiveGateway {
  status(): NonNullable<Status["gateway"]>;
  /** Null when usage records reach the disk; otherwise plain words with the next step. */
  ledgerTrouble(): string | null;
  /** All live links, closed ones left out. */
  links(): readonly Link[];
  /** Last report of a connector, or null before its first. */
  report(connectorId: string): NodeReport | null;
  /** Whether the node may serve a model of that name. */
  isGranted(nodeId: string, model: string): boolean;
  /** The catalogue with alias and offered entries. */
  models(): readonly ModelView[];
  contingency(): Pick<ContingencyBook, "view" | "change">;
  steering(): SteeringBook;
  approvals(): ApprovalDesk;
  drills(): LiveDrills;
  /** Has the machine woken, as its setting says; false where that cannot be done now. */
  wake(nodeId: string): boolean;
  /** Slots, load and latency of an engine of a node. */
  engineFacts(nodeId: string, engine: string): Pick<NodeView["engines"][number], "slots" | "busy" | "latency">;
  /** Every model with its targets, as far as their loss matters. */
  reviewModels(): ReviewModel[];
  /** One smallest request to one target of the model, on the way a caller's request takes. Does not reject. */
  probeModel(input: ProbeInput, signal: AbortSignal): Promise<ProbeResult>;
  /** The key is as it says from now on; running requests that it does not allow any more end. */
  keyChanged(key: KeyRecord): void;
  /** A key in memory, by id or by name where exactly one has it; for when the store cannot be asked. */
  findKey(idOrName: string): KeyRecord | null;
  /** What the key used in the running day and month. */
  spending(keyId: string): KeyView["spending"];
  /** Endpoints and rules as requests meet them. */
  places(): Places;
  /** Reads endpoints and rules again and applies them. Resolves with the number of requests that were ended by them. */
  placesChanged(): Promise<number>;
  /** It was added or changed. */
  nodeChanged(node: NodeRecord): void;
  readonly alerts: LiveAlerts;
  /** Ends the node's links and attempts at once. Resolves with the number of links ended. */
  nodeRemoved(node: NodeRecord): Promise<number>;
  /** SHA-256, in hex, of the file served at `/.postern/agent.mjs`. Rejects with `package_unavailable`. */
  agentPackageSha256(): Promise<string>;
}
