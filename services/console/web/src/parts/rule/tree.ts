// The JSON form of a rule, as the builder edits it: groups, and predicates of one kind each.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Form = { [key: string]: Json };

export const JOINS = ["all", "any", "not"] as const;
export const EVENT_KINDS = [
  ...["count", "sum", "average", "minimum", "maximum", "first", "last", "distinct"],
];
export const AGE_KINDS = ["last_seen", "first_seen"];
export const REFERENCE_KINDS = ["segment", "tag", "stage"];
const NUMBERS = ["at_least", "at_most", "eq", "ne", "gt", "lt"];
const VALUES = [
  ...["eq", "ne", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with"],
  ...["at_least", "at_most", "gt", "lt", "exists", "missing"],
];
const AGES = ["within", "at_most", "longer_than", "at_least"];
/** Comparisons that are written with `true` and have no value. */
export const WITHOUT_VALUE = ["exists", "missing"];

/** Returns the only key of a form, and what it has. */
export function entry(form: Form): [string, Json] {
  return (Object.entries(form)[0] as [string, Json] | undefined) ?? ["all", []];
}

export function isGroup(form: Form): boolean {
  return (JOINS as readonly string[]).includes(entry(form)[0]);
}

/** Returns the rules of a group; `not` has one. */
export function rulesOf(form: Form): Form[] {
  const [, body] = entry(form);
  return (Array.isArray(body) ? body : [body]) as Form[];
}

/** Returns a group with other rules. A `not` of several rules is the `not` of a group of them. */
export function group(join: string, rules: Form[]): Form {
  if (join !== "not") return { [join]: rules };
  return { not: rules.length === 1 ? rules[0]! : { all: rules } };
}

export function comparisonsOf(kind: string): string[] {
  if (AGE_KINDS.includes(kind)) return AGES;
  return ["trait", "first", "last"].includes(kind) ? VALUES : NUMBERS;
}

/** The key of a predicate that is entered as text and not read yet. */
export const TEXT = "text";

export function isText(form: Form): boolean {
  return entry(form)[0] === TEXT;
}

export interface Condition {
  property: string;
  operator: string;
  value: Json;
}

/** A predicate as fields; null where it has parts that only its text shows. */
export interface Fields {
  kind: string;
  /** The name of a trait, or of an event. */
  name: string;
  property: string;
  where: Condition[];
  within: string;
  operator: string;
  value: Json;
}

/** Reads a predicate as fields; null where the fields cannot show all of it. */
export function fieldsOf(form: Form): Fields | null {
  const [kind, body] = entry(form);
  const known = ["trait", ...EVENT_KINDS, ...AGE_KINDS].includes(kind);
  if (!known || typeof body !== "object" || body === null || Array.isArray(body)) return null;
  const isTrait = kind === "trait";
  const key = isTrait ? "name" : "event";
  const { [key]: name, property, where, within, ...rest } = body;
  const isAge = AGE_KINDS.includes(kind);
  const comparisons = { ...rest, ...(isAge && within !== undefined ? { within } : {}) };
  const [compared, ...others] = Object.entries(comparisons);
  const conditions = conditionsOf(where);
  if (typeof name !== "string" || !compared || others.length || !conditions) return null;
  if (!comparisonsOf(kind).includes(compared[0])) return null;
  if (isTrait && (property !== undefined || where !== undefined || within !== undefined)) return null;
  return {
    kind,
    name,
    property: typeof property === "string" ? property : "",
    where: conditions,
    within: !isAge && typeof within === "string" ? within : "",
    operator: compared[0],
    value: compared[1],
  };
}

function conditionsOf(where: Json | undefined): Condition[] | null {
  if (where === undefined) return [];
  const found: Condition[] = [];
  for (const part of Array.isArray(where) ? where : [where]) {
    if (typeof part !== "object" || part === null || Array.isArray(part)) return null;
    for (const [property, test] of Object.entries(part)) {
      if (typeof test !== "object" || test === null)
        found.push({ property, operator: "eq", value: test });
      else if (Array.isArray(test)) return null;
      else
        for (const [operator, value] of Object.entries(test)) {
          if (!VALUES.includes(operator)) return null;
          found.push({ property, operator, value });
        }
    }
  }
  return found;
}

/** Returns the predicate of some fields. */
export function formOf(fields: Fields): Form {
  const { kind, name, property, where, within, operator, value } = fields;
  const compared = { [operator]: WITHOUT_VALUE.includes(operator) ? true : value };
  if (kind === "trait") return { trait: { name, ...compared } };
  const conditions = where.map((each) => ({
    [each.property]: { [each.operator]: WITHOUT_VALUE.includes(each.operator) ? true : each.value },
  }));
  const isAge = AGE_KINDS.includes(kind);
  return {
    [kind]: {
      event: name,
      ...(isAge || kind === "count" ? {} : { property }),
      ...(conditions.length ? { where: conditions } : {}),
      ...(within && !isAge ? { within } : {}),
      ...compared,
    },
  };
}

/** Returns fields of another kind that say as much of the same as they can. */
export function ofKind(fields: Fields, kind: string): Fields {
  const allowed = comparisonsOf(kind);
  const keeps = allowed === comparisonsOf(fields.kind);
  const operator = keeps ? fields.operator : allowed[0]!;
  const isNumber = operator === "at_least" && !AGE_KINDS.includes(kind);
  const value = keeps ? fields.value : AGE_KINDS.includes(kind) ? "7d" : isNumber ? 1 : "";
  return { ...fields, kind, operator, value };
}

/** Reads what was entered as a value: a number, `true`, a list in JSON, or else a text. */
export function readEntered(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

/** Writes a value so that `readEntered` reads the same. */
export function writeEntered(value: Json): string {
  if (typeof value !== "string") return JSON.stringify(value);
  return typeof readEntered(value) === "string" && !value.startsWith('"')
    ? value
    : JSON.stringify(value);
}

/** Returns whether every text of a rule is read, and every event, trait and property has a name. */
export function isComplete(rule: Form): boolean {
  return isGroup(rule) ? rulesOf(rule).every(isComplete) : !isText(rule) && isNamed(rule);
}

function isNamed(part: Json): boolean {
  if (Array.isArray(part)) return part.every(isNamed);
  if (typeof part !== "object" || part === null) return true;
  return Object.entries(part).every(
    ([key, value]) => key !== "" && !(NAMED.includes(key) && value === "") && isNamed(value),
  );
}

const NAMED = ["event", "name", "property", "segment", "id", "of"];
