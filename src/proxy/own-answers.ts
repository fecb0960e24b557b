import { anthropicModelItem, anthropicModelList } from "../dialects/anthropic/models.ts";
import type { ListedModel } from "../dialects/listed-model.ts";
import { ollamaPs, ollamaShow, ollamaTags, ollamaVersion } from "../dialects/ollama/model-bodies.ts";
import { modelItemBody, modelListBody } from "../dialects/openai/models.ts";
import type { Operation } from "../dialects/operations.ts";
import { PosternError } from "../errors.ts";

/** What an answer of the gateway's own is made from. */
export interface OwnAnswerFacts {
  operation: Operation;
  /** For lists: what the key may use, hidden names left out. */
  visible: readonly ListedModel[];
  /** The one model that is asked for, hidden or not; null where the operation asks for none. */
  wanted: ListedModel | null;
  /** Whether the caller says that it speaks Anthropic's dialect (`anthropic-version`): both families list at `/v1/models`. */
  isAnthropic: boolean;
}

/**
 * The body of an operation that the gateway answers from its catalogue. Engines are not asked: what they say of themselves
 * tells more than callers need, and some change state when asked (reference: engine-apis §5.2).
 *
 * @throws PosternError `model_not_found` (none is wanted where one must be), `unknown_operation` (one that goes to targets).
 */
export function ownAnswer({ operation, visible, wanted, isAnthropic }: OwnAnswerFacts): Buffer {
  switch (operation.kind) {
    case "hello":
      return Buffer.alloc(0);
    case "version":
      return ollamaVersion();
    case "list":
      if (operation.family === "ollama") return ollamaTags(visible);
      return isAnthropic ? anthropicModelList(visible) : modelListBody(visible);
    case "loaded":
      return ollamaPs(visible);
    case "item":
      return isAnthropic ? anthropicModelItem(known(wanted)) : modelItemBody(known(wanted));
    case "show":
      return ollamaShow(known(wanted));
    case "infer":
    case "count":
      throw new PosternError("unknown_operation");
    default:
      return operation.kind satisfies never;
  }
}

function known(wanted: ListedModel | null): ListedModel {
  if (wanted === null) throw new PosternError("model_not_found", { param: "model" });
  return wanted;
}
