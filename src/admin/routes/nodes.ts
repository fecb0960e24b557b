import { invitedNode, inviteNodeInput, nodeList, nodeView, removedNode, updateNodeInput } from "../contract.ts";
import { route } from "./route.ts";

/** `/nodes`: list, invite, show, update, remove. */
export const nodeRoutes = [
  route({
    method: "GET",
    path: "/nodes",
    resource: "nodes",
    role: "viewer",
    summary: "All nodes, with engines, models, links and open invitations.",
    answer: nodeList,
    handle: async (context) => ({ nodes: await context.listNodes() }),
  }),
  route({
    method: "POST",
    path: "/nodes",
    resource: "nodes",
    role: "operator",
    summary:
      "Invites an agent; makes the node when there is none of that name. The only answer with the invitation's code.",
    body: inviteNodeInput,
    answer: invitedNode,
    status: 201,
    handle: (context, { body }) => context.inviteNode(body),
  }),
  route({
    method: "GET",
    path: "/nodes/{node}",
    resource: "nodes",
    role: "viewer",
    summary: "One node.",
    answer: nodeView,
    handle: (context, { params }) => context.showNode(params.node),
  }),
  route({
    method: "PATCH",
    path: "/nodes/{node}",
    resource: "nodes",
    role: "operator",
    summary: "Changes what a node may serve, its tags and whose machine it is. Counts for the next request.",
    body: updateNodeInput,
    answer: nodeView,
    handle: (context, { params, body }) => context.updateNode(params.node, body),
  }),
  route({
    method: "DELETE",
    path: "/nodes/{node}",
    resource: "nodes",
    role: "operator",
    summary: "Forgets a node with its agents and invitations, and ends its links at once.",
    answer: removedNode,
    handle: (context, { params }) => context.removeNode(params.node),
  }),
];
