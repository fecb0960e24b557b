import { PosternError } from "../errors.ts";
import { lostByChange } from "../routing/required-models.ts";
import {
  type ModelWeights,
  rolledBack,
  STEERING_SETTING,
  type Steering,
  withDrained,
  withWake,
  withWeights,
} from "../routing/steering.ts";
import { noWeights, SteeringBook } from "../routing/steering-book.ts";
import { actorOf } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import type { ModelView } from "./contract-models.ts";
import type { NodeView } from "./contract-nodes.ts";
import type { CallParts } from "./create-context.ts";

type SteeringMethods = Pick<
  AdminContext,
  "drainNode" | "resumeNode" | "setWake" | "wakeNode" | "setWeight" | "rollBackWeights"
>;

/** What the operator says of nodes and weights while the gateway runs. Without one it is written down for the next. */
export function createSteeringAdmin(parts: CallParts, showNode: (name: string) => Promise<NodeView>): SteeringMethods {
  const { live, changing } = parts;

  async function drain(name: string, isDrained: boolean, force: boolean): Promise<NodeView> {
    const node = await showNode(name);
    if (isDrained)
      refuseLoss(live?.models() ?? [], ({ node: at }) => at !== node.name, force, `draining "${node.name}"`);
    const book = await openSteering(parts);
    const id = catalogueIdOf(node);
    const before = book.steering.drained.includes(id);
    await book.change(
      (now) => withDrained(now, id, isDrained),
      writing(
        isDrained ? "nodes.drain" : "nodes.resume",
        `node ${node.name}`,
        { drained: before },
        { drained: isDrained, force },
      ),
    );
    return showNode(name);
  }

  function writing(action: string, subject: string, before: unknown, after: unknown) {
    return (bytes: Uint8Array) => changing({ action, subject, before, after }).settings.set(STEERING_SETTING, bytes);
  }

  function modelOf(name: string): ModelView {
    const models = (live ?? needsGateway()).models();
    const model = models.find((one) => one.name === name);
    if (model !== undefined) return model;
    throw new PosternError("not_found", {
      message: `There is no model "${name}"`,
      hint: "`postern models list` shows them.",
    });
  }

  async function changeWeights(
    model: ModelView,
    force: boolean,
    change: (now: Steering) => Steering,
    action: string,
  ): Promise<ModelView> {
    const book = await openSteering(parts);
    const before = book.steering.weights[model.name] ?? null;
    let after: ModelWeights | null = null;
    await book.change(
      (now) => {
        const next = change(now);
        after = next.weights[model.name] ?? null;
        // What loses a weight of its own gets the file's, which is not seen here as long as it does not count: taken for one.
        const weightOf = ({ id, weight }: ModelView["targets"][number]) =>
          after?.[id] ?? (before?.[id] === undefined ? (weight ?? 1) : 1);
        refuseLoss([model], (target) => weightOf(target) > 0, force, "giving it these weights");
        return next;
      },
      (bytes) => writing(action, `model ${model.name}`, before, after)(bytes),
    );
    return modelOf(model.name);
  }

  return {
    drainNode: (name, { force }) => drain(name, true, force),
    resumeNode: (name) => drain(name, false, false),
    async setWake(name, setting) {
      const node = await showNode(name);
      const via = setting === null ? null : await showNode(setting.via);
      if (via !== null && via.id === node.id) throw sleepsItself(node.name);
      for (const one of [node, via]) if (one?.origin === "file") throw hasNoAgent(one.name);
      const after = setting === null || via === null ? null : { mac: setting.mac, via: via.id };
      const book = await openSteering(parts);
      const before = book.steering.wakes[node.id] ?? null;
      await book.change(
        (now) => withWake(now, node.id, after),
        writing("nodes.set-wake", `node ${node.name}`, before, after),
      );
      return showNode(name);
    },
    async wakeNode(name) {
      const node = await showNode(name);
      const entry = { action: "nodes.wake", subject: `node ${node.name}`, before: null, after: node.wake };
      await parts.store.audit.append({ atMs: parts.clock.nowMs(), actor: actorOf(parts.caller), ...entry });
      if ((live ?? needsGateway()).wake(node.id)) return node;
      throw new PosternError("invalid_input", {
        message: `Nobody can wake "${node.name}" now`,
        hint:
          node.wake === null
            ? `Say how first: postern nodes wake ${node.name} --mac 00:11:22:aa:bb:cc --via NODE.`
            : `Its packet is sent by the agent of "${node.wake.via}", which is away, or the machine did not come after several packets.`,
      });
    },
    async setWeight({ model: name, target, weight, force }) {
      const model = modelOf(name);
      refuseOtherStrategy(model);
      const ids = targetsNamed(model, target);
      const changed = Object.fromEntries(ids.map((id) => [id, weight]));
      return changeWeights(model, force, (now) => withWeights(now, name, changed) ?? tooMany(), "models.weight");
    },
    async rollBackWeights({ model: name, force }) {
      const model = modelOf(name);
      return changeWeights(
        model,
        force,
        (now) => {
          const back = rolledBack(now, name);
          if (back === null) throw noWeights(name);
          return back;
        },
        "models.roll-back-weights",
      );
    },
  };
}

/** The gateway's own, or one over the store alone. */
export async function openSteering({ live, store }: CallParts): Promise<SteeringBook> {
  return live?.steering() ?? new SteeringBook(await store.settings.get(STEERING_SETTING));
}

/** Id of a node among the routed ones. */
export function catalogueIdOf({ origin, id }: Pick<NodeView, "origin" | "id">): string {
  return origin === "file" ? `file:${id}` : id;
}

/**
 * @param servesAfter Whether a target would still serve after the change.
 * @throws PosternError `required_model` where a required model would be left with nobody who serves it, and nobody says that this is wanted.
 */
export function refuseLoss(
  models: readonly ModelView[],
  servesAfter: (target: ModelView["targets"][number]) => boolean,
  force: boolean,
  what: string,
): void {
  if (force) return;
  const lost = lostByChange(models, servesAfter);
  if (lost.length === 0) return;
  const names = lost.map((name) => `"${name}"`).join(", ");
  throw new PosternError("required_model", {
    message: `Refusing it: ${what} would leave nobody who serves ${names}, which ${lost.length === 1 ? "is" : "are"} required`,
    hint: "Let another target serve it first (`postern models check` shows where it is ready), or say --force.",
  });
}

function refuseOtherStrategy({ name, strategy }: ModelView): void {
  if (strategy === "weighted" || strategy === "least-busy") return;
  throw new PosternError("invalid_input", {
    message: `"${name}" has \`strategy: ${strategy}\` in the configuration, which knows no weights`,
    hint: "Set `strategy: weighted` there, or leave it out.",
  });
}

/** By node, by `provider/NAME`, by the engine's name of the model, or by id; all that fit. */
function targetsNamed({ name, targets }: ModelView, wanted: string): string[] {
  const found = targets.filter(({ id, node, provider, engineModel }) => {
    const label = node === null ? `provider/${provider}` : `node/${node}`;
    return [id, node, label, engineModel, `${label}/${engineModel}`].includes(wanted);
  });
  if (found.length > 0) return found.map(({ id }) => id);
  const known = targets.map(({ node, provider, engineModel }) => `${node ?? `provider/${provider}`} (${engineModel})`);
  throw new PosternError("not_found", {
    message: `"${name}" has no target "${wanted}"`,
    hint: known.length === 0 ? "Nobody offers it now." : `It has ${known.join(", ")}; node or model name them.`,
  });
}

function sleepsItself(name: string): PosternError {
  return new PosternError("invalid_input", {
    message: `"${name}" cannot be woken by its own agent, which sleeps with it`,
    hint: "Name another node on the same network with --via.",
  });
}

function hasNoAgent(name: string): PosternError {
  return new PosternError("invalid_input", {
    message: `"${name}" is a node by URL; waking is for nodes with an agent`,
    hint: "Invite an agent for it: postern nodes invite NAME.",
  });
}

function tooMany(): never {
  throw new PosternError("invalid_input", {
    message: "Too many models have weights of their own",
    hint: "Put weights into `models:` of the configuration.",
  });
}

function needsGateway(): never {
  throw new PosternError("gateway_unreachable", {
    message: "Only a running gateway knows that, and none runs on this data folder",
    hint: "Start it with `postern up` or `postern gateway`.",
  });
}
