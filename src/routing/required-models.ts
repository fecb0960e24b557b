/** A model as the check sees it. */
export interface CheckedModel<T> {
  readonly name: string;
  readonly required: boolean;
  readonly targets: readonly T[];
}

/**
 * Required models that a change would leave without a target that can take a request (S0-22). A model that has none now is not
 * among them: the change makes nothing worse there.
 *
 * @param servesAfter Whether a target that is ready now would still serve the model.
 */
export function lostByChange<T extends { readonly ready: boolean }>(
  models: readonly CheckedModel<T>[],
  servesAfter: (target: T, model: string) => boolean,
): string[] {
  return models
    .filter(({ name, required, targets }) => {
      const ready = targets.filter((target) => target.ready);
      return required && ready.length > 0 && !ready.some((target) => servesAfter(target, name));
    })
    .map(({ name }) => name);
}
