import { type AddressRule, ambientRisk, MAX_RULES } from "../access/address-rule.ts";
import { PLACE_NAME } from "../access/endpoint.ts";
import { PosternError } from "../errors.ts";
import { formatPrefix, readPrefix } from "../lib/cidr.ts";
import type { RuleRecord } from "../storage/store.ts";
import type { AdminContext } from "./context.ts";
import type { CallParts } from "./create-context.ts";
import { findKey } from "./find-key.ts";
import { type AllPlaces, isAllowAt, readAllPlaces, refuseFile, toRuleView } from "./place-view.ts";
import type { CreateRuleInput } from "./places-contract.ts";
import { testAddress } from "./test-address.ts";

type AccessMethods = Pick<AdminContext, "listRules" | "createRule" | "removeRule" | "testAddress">;

/** Rules about addresses: the store has those that are not in the file, a running gateway applies each change at once. */
export function createAccessAdmin(parts: CallParts): AccessMethods {
  const { store, config, clock, live, changing } = parts;
  return {
    async listRules() {
      const { rules } = await readAllPlaces(store, config);
      return rules.map((rule) => toRuleView(rule, clock.nowMs()));
    },
    async createRule(input) {
      const all = await readAllPlaces(store, config);
      checkRule(input, all);
      const nowMs = clock.nowMs();
      const range = canonicalRange(input.range);
      const { expiresInMs, ...fields } = input;
      const rule: RuleRecord = {
        ...fields,
        range,
        name: input.name ?? freeName(input, range, all),
        key: input.key === null ? null : (await findKey(store, input.key)).id,
        createdAtMs: nowMs,
        expiresAtMs: expiresInMs === null ? null : nowMs + expiresInMs,
      };
      if (all.rules.some(({ name }) => name === rule.name)) {
        throw new PosternError("already_exists", {
          message: `There is already a rule "${rule.name}"`,
          hint: "Give this one another --name, or remove the other one: `postern access remove NAME`.",
        });
      }
      const view = toRuleView(rule, nowMs);
      const change = { action: "access.create", subject: `rule ${rule.name}`, before: null, after: view };
      await changing(change).places.insertRule(rule);
      return { rule: view, warnings: warningsOf(rule, all), streamsEnded: (await live?.placesChanged()) ?? 0 };
    },
    async removeRule(name) {
      const all = await readAllPlaces(store, config);
      const rule = all.rules.find((one) => one.name === name);
      if (rule === undefined) {
        throw new PosternError("not_found", {
          message: `There is no rule "${name}"`,
          hint: "`postern access list` shows them.",
        });
      }
      refuseFile("rule", rule);
      const view = toRuleView(rule, clock.nowMs());
      const change = { action: "access.remove", subject: `rule ${name}`, before: view, after: null };
      await changing(change).places.removeRule(name);
      const left = { ...all, rules: all.rules.filter((one) => one !== rule) };
      const streamsEnded = (await live?.placesChanged()) ?? 0;
      return { rule: view, warnings: openedBy(rule, left), streamsEnded };
    },
    testAddress: (input) => testAddress(parts, input),
  };
}

function checkRule(input: CreateRuleInput, { endpoints, rules }: AllPlaces): void {
  if (rules.length >= MAX_RULES) {
    throw new PosternError("invalid_input", {
      message: `There are ${MAX_RULES} rules, which is the limit`,
      hint: "Put neighbouring addresses into one range.",
    });
  }
  if (input.endpoint !== null && !endpoints.some(({ name }) => name === input.endpoint)) {
    throw new PosternError("not_found", {
      message: `There is no endpoint "${input.endpoint}"`,
      hint: "`postern endpoints list` shows them.",
    });
  }
  if ((input.effect === "ambient") !== (input.key !== null)) {
    throw new PosternError("invalid_input", {
      message: input.key === null ? "An ambient rule needs a key" : "Only an ambient rule has a key",
    });
  }
}

function canonicalRange(text: string): string {
  const { prefix } = readPrefix(text);
  if (prefix === null) throw new PosternError("invalid_input", { message: `"${text}" is no address or range` });
  return formatPrefix(prefix);
}

/** A name that says what the rule does: `deny-198.51.100.0-24`, `vm-allow-2001-db8-1`. */
function freeName({ effect, endpoint }: CreateRuleInput, range: string, { rules }: AllPlaces): string {
  const start = endpoint === null ? effect : `${endpoint.slice(0, 32)}-${effect}`;
  const base = `${start}-${range.replace(/[:/]+/g, "-")}`.slice(0, 60).replace(/[^a-z0-9]+$/, "");
  const taken = new Set(rules.map(({ name }) => name));
  let name = base;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  if (!PLACE_NAME.test(name)) throw new PosternError("invalid_input", { message: "Give the rule a --name" });
  return name;
}

function warningsOf(rule: AddressRule, before: AllPlaces): string[] {
  const warnings: string[] = [];
  const where = rule.endpoint === null ? "every endpoint" : `the endpoint "${rule.endpoint}"`;
  if (rule.effect === "ambient") {
    const risk = ambientRisk(rule.range);
    if (risk !== null) warnings.push(`${rule.range} ${risk}. Give the key few rights, or a narrower range.`);
  }
  const wasOpen = !before.rules.some(
    ({ effect, endpoint }) => effect === "allow" && (endpoint === null || endpoint === rule.endpoint),
  );
  if (rule.effect === "allow" && wasOpen) {
    warnings.push(
      `This is the first allow rule for ${where}: from now on every address that is not listed gets 403 there.`,
    );
  }
  if (rule.mayRotate && rule.expiresAtMs === null) {
    warnings.push("The address may change: when it does, this rule lets in whoever has it then. Consider --expires.");
  }
  return warnings;
}

/** What the end of an allow rule opens. */
function openedBy(rule: AddressRule, left: AllPlaces): string[] {
  if (rule.effect !== "allow") return [];
  return left.endpoints
    .filter(({ name }) => isAllowAt(rule, name) && !left.rules.some((one) => isAllowAt(one, name)))
    .map(({ name }) => `No allow rule is left for the endpoint "${name}": every address may try its keys there.`);
}
