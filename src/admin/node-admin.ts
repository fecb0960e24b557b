import { randomUUID } from "node:crypto";
import { isLoopback } from "../config/listen-address.ts";
import { publicUrlOf } from "../config/load.ts";
import { PosternError, toPosternError } from "../errors.ts";
import { STEERING_SETTING, type WakeSetting, withoutNode } from "../routing/steering.ts";
import type { InvitationRecord, NodeChanges, NodeRecord } from "../storage/store.ts";
import type { AdminContext } from "./context.ts";
import type { InviteNodeInput, NodeView } from "./contract-nodes.ts";
import type { CallParts } from "./create-context.ts";
import { joinLine } from "./join-line.ts";
import { toDirectNodeView, toInvitationView, toNodeView } from "./node-view.ts";
import { refuseFile } from "./place-view.ts";
import { catalogueIdOf, openSteering, refuseLoss } from "./steering-admin.ts";

type NodeMethods = Pick<AdminContext, "listNodes" | "showNode" | "inviteNode" | "updateNode" | "removeNode">;

/** Nodes, their invitations and their removal. */
export function createNodeAdmin(parts: CallParts): NodeMethods {
  const { store, clock, live, config, changing } = parts;
  return {
    async listNodes() {
      const [nodes, connectors, invitations] = await Promise.all([
        store.nodes.list(),
        store.nodes.connectors(),
        store.nodes.invitations(),
      ]);
      const { drained, wakes } = (await openSteering(parts)).steering;
      const nameOf = (id: string) => nodes.find((node) => node.id === id)?.name ?? id;
      const nowMs = clock.nowMs();
      const views = [
        ...nodes.map((node) => toNodeView({ node, connectors, invitations, live, nowMs })),
        ...config.nodes.map((node) => toDirectNodeView(node, live)),
      ].map((view) => ({
        ...view,
        isDrained: drained.includes(catalogueIdOf(view)),
        wake: wakeOf(wakes[view.id], nameOf),
      }));
      return views.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async showNode(name) {
      const node = (await this.listNodes()).find((one) => one.name === name || one.id === name);
      if (node === undefined) throw noSuchNode(name);
      return node;
    },
    async inviteNode(input) {
      refuseFileNode(input.name);
      const gatewayUrl = addressToDial(input);
      const node = (await findNode(input.name)) ?? (await addNode(input));
      if (input.models !== null && !isSameList(input.models, node.grants)) {
        throw new PosternError("invalid_input", {
          message: `The node "${node.name}" exists with other models: ${node.grants?.join(" ") ?? "whatever no other node serves"}`,
          hint: `Leave --models out, or change them first: \`postern nodes update ${node.name} --models …\`.`,
        });
      }
      const { code, record } = await addInvitation(node, input);
      return {
        node: node.name,
        invitation: toInvitationView(record),
        code,
        gatewayUrl,
        ...(await lineToPaste(gatewayUrl, code)),
        joinCommand: `postern agent join ${gatewayUrl} ${code}`,
        warnings: isLoopback(new URL(gatewayUrl).hostname.replace(/^\[|\]$/g, ""))
          ? [
              `${gatewayUrl} reaches the gateway from this machine only. For another machine say --url https://HOST, or set gateway.publicUrl.`,
            ]
          : [],
      };
    },
    async updateNode(name, { models, tags, locality }) {
      refuseFileNode(name);
      const node = await findNode(name);
      if (node === undefined) throw noSuchNode(name);
      const changes: NodeChanges = {
        ...(models === undefined ? {} : { grants: models }),
        ...(tags === undefined ? {} : { tags: [...new Set(tags)] }),
        ...(locality === undefined ? {} : { locality }),
      };
      const changed = { ...node, ...changes };
      const entry = { action: "nodes.update", subject: `node ${node.name}`, before: node, after: changed };
      if (!(await changing(entry).nodes.update(node.id, changes))) throw noSuchNode(name);
      live?.nodeChanged(changed);
      return this.showNode(node.id);
    },
    async removeNode(name, { force }) {
      refuseFileNode(name);
      const node = await findNode(name);
      if (node === undefined) throw noSuchNode(name);
      refuseLoss(live?.models() ?? [], (target) => target.node !== node.name, force, `removing "${node.name}"`);
      const subject = `node ${node.name}`;
      await changing({ action: "nodes.remove", subject, before: node, after: null }).nodes.remove(node.id);
      const linksClosed = (await live?.nodeRemoved(node)) ?? 0;
      const book = await openSteering(parts);
      const { drained, wakes } = book.steering;
      if (drained.includes(node.id) || wakes[node.id] !== undefined) {
        const save = (bytes: Uint8Array) => store.settings.set(STEERING_SETTING, bytes);
        await book.change((now) => withoutNode(now, node.id), save);
      }
      return { name: node.name, linksClosed };
    },
  };

  async function findNode(name: string): Promise<NodeRecord | undefined> {
    return (await store.nodes.list()).find((node) => node.name === name || node.id === name);
  }

  async function addNode({ name, models }: InviteNodeInput): Promise<NodeRecord> {
    const node: NodeRecord = {
      id: randomUUID(),
      name,
      createdAtMs: clock.nowMs(),
      grants: models,
      tags: [],
      locality: "own",
    };
    await changing({ action: "nodes.create", subject: `node ${name}`, before: null, after: node }).nodes.insert(node);
    live?.nodeChanged(node);
    return node;
  }

  async function addInvitation(node: NodeRecord, input: InviteNodeInput) {
    const { id, hash, code } = await parts.mintInvitation();
    const nowMs = clock.nowMs();
    const record: InvitationRecord = {
      id,
      nodeId: node.id,
      hash,
      createdAtMs: nowMs,
      expiresAtMs: nowMs + input.expiresInMs,
      maxUses: input.maxUses,
      uses: 0,
      isEphemeral: input.isEphemeral,
    };
    const after = { node: node.name, ...toInvitationView(record) };
    const change = { action: "nodes.invite", subject: `node ${node.name}`, before: null, after };
    await changing(change).nodes.insertInvitation(record);
    return { code: code.reveal(), record };
  }

  function addressToDial(input: InviteNodeInput): string {
    const url = new URL(input.url ?? live?.status().publicUrl ?? publicUrlOf(config));
    if (url.protocol === "http:" && !isLoopback(url.hostname.replace(/^\[|\]$/g, ""))) {
      throw new PosternError("invalid_input", {
        message: `Agents join over https:// (http:// only on loopback), got ${url.origin}`,
        hint: "Give the gateway a certificate (gateway.tls) or a TLS-terminating proxy in front, and say --url https://HOST.",
      });
    }
    return url.origin;
  }

  async function lineToPaste(gatewayUrl: string, code: string) {
    if (live === null) {
      return { joinLine: null, joinLineReason: "The gateway is not running, so nobody could fetch the agent from it." };
    }
    try {
      return {
        joinLine: joinLine({ gatewayUrl, code, sha256: await live.agentPackageSha256() }),
        joinLineReason: null,
      };
    } catch (error) {
      const { message, hint } = toPosternError(error);
      return { joinLine: null, joinLineReason: hint === undefined ? `${message}.` : `${message}. ${hint}` };
    }
  }

  function refuseFileNode(name: string): void {
    const inFile = config.nodes.find((node) => node.name === name);
    if (inFile !== undefined) refuseFile("node", inFile);
  }
}

function wakeOf(setting: WakeSetting | undefined, nameOf: (id: string) => string): NodeView["wake"] {
  return setting === undefined ? null : { mac: setting.mac, via: nameOf(setting.via) };
}

function noSuchNode(name: string): PosternError {
  return new PosternError("not_found", {
    message: `There is no node "${name}"`,
    hint: "`postern nodes list` shows them; `postern nodes invite NAME` adds one.",
  });
}

function isSameList(a: readonly string[], b: readonly string[] | null): boolean {
  return b !== null && a.toSorted().join("\n") === b.toSorted().join("\n");
}
