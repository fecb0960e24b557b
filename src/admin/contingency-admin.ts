import { LiveKey } from "../access/live-key.ts";
import { MAX_SCOPES } from "../continuity/contingency.ts";
import { CONTINGENCY_SETTING, ContingencyBook } from "../continuity/contingency-book.ts";
import type { ScopeView } from "../continuity/contingency-state.ts";
import { reviewModels } from "../continuity/single-points.ts";
import { PosternError } from "../errors.ts";
import { labelOf } from "./caller.ts";
import { checkWorkflow } from "./check-workflow.ts";
import type { AdminContext } from "./context.ts";
import type { CallParts } from "./create-context.ts";

type ContingencyMethods = Pick<AdminContext, "reviewContinuity" | "contingency" | "contingencyOn" | "contingencyOff">;

/** Orders to skip providers. Without a gateway they are written down for the next one. */
export function createContingencyAdmin(parts: CallParts): ContingencyMethods {
  const { store, clock, config, live, changing, caller } = parts;

  async function openBook(): Promise<Pick<ContingencyBook, "view" | "change">> {
    if (live !== null) return live.contingency();
    return new ContingencyBook({
      rules: config.continuity.contingency,
      clock,
      saved: await store.settings.get(CONTINGENCY_SETTING),
      onChange() {},
      save: async () => {},
      onFailure() {},
    });
  }
  /** Keeps the state together with the entry about the order. */
  function writing(action: string, workflow: string | null) {
    const of = (scopes: ScopeView[]) => scopes.find((one) => one.workflow === workflow) ?? null;
    return (bytes: Uint8Array, before: ScopeView[], after: ScopeView[]) =>
      changing({
        action,
        subject: workflow === null ? "contingency" : `contingency of workflow ${workflow}`,
        before: of(before),
        after: of(after),
      }).settings.set(CONTINGENCY_SETTING, bytes);
  }

  return {
    async reviewContinuity() {
      if (live === null) {
        throw new PosternError("gateway_unreachable", {
          message: "Only a running gateway knows which targets are there, and none runs on this data folder",
          hint: "Start it with `postern up` or `postern gateway`.",
        });
      }
      const nowMs = clock.nowMs();
      const keys = (await store.keys.list())
        .map((key) => new LiveKey(key))
        .filter((key) => key.refusalAt(nowMs) === null);
      return {
        models: reviewModels(
          live.reviewModels(),
          keys.map((key) => key.policy),
        ),
      };
    },
    contingency: async () => ({ scopes: (await openBook()).view() }),
    async contingencyOn({ workflow, reason, forMs }) {
      if (workflow !== null) await checkWorkflow(workflow, parts);
      const book = await openBook();
      const order = { workflow, reason, forMs, by: labelOf(caller) };
      await book.change(
        (state, at) => {
          if (state.on(order, at)) return;
          throw new PosternError("invalid_input", {
            message: `Contingency is on in ${MAX_SCOPES} scopes, which is the limit`,
            hint: "Switch it on for everything, or end some: `postern contingency status`.",
          });
        },
        writing("contingency.on", workflow),
      );
      return { scopes: book.view() };
    },
    async contingencyOff({ workflow, isAtOnce }) {
      const book = await openBook();
      if (!book.view().some((scope) => scope.workflow === workflow)) return { wasOn: false, scopes: book.view() };
      const wasOn = await book.change(
        (state, at) => state.off(workflow, isAtOnce, at),
        writing("contingency.off", workflow),
      );
      return { wasOn, scopes: book.view() };
    },
  };
}
