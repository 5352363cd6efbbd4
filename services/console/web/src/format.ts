// Writes instants, numbers, identifiers and values for people.
import type { Schemas } from "./api/client";

/** Writes an instant (Unix microseconds) in the zone of the browser, with its name. */
export function instant(us: number | undefined, language: string): string {
  if (!us) return "";
  return new Date(us / 1000).toLocaleString(language === "zh" ? "zh-CN" : "en-GB", {
    dateStyle: "medium",
    timeStyle: "medium",
  });
}

export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function number(value: number | undefined, language: string): string {
  return (value ?? 0).toLocaleString(language === "zh" ? "zh-CN" : "en-GB");
}

export function identifierText(identifier: Schemas["type.v1.Identifier"] | undefined): string {
  return identifier ? `${identifier.namespace}:${identifier.value}` : "";
}

const ADDRESS = /^[^@\s]+@[^@\s]+$/;
const DIGITS = /^\+?[\d\s()-]{7,20}$/;
const PROFILE = /^[0-9a-f]{32}$/;

/** Reads what a person enters to find a profile: an id, `namespace:value`, an e-mail, a number. */
export function readSearch(
  text: string,
): { profile_id: string } | { identifier: { namespace: string; value: string } } {
  const entered = text.trim();
  if (PROFILE.test(entered)) return { profile_id: entered };
  const colon = entered.indexOf(":");
  if (colon > 0) {
    const [namespace, value] = [entered.slice(0, colon), entered.slice(colon + 1)];
    return { identifier: { namespace: namespace.trim(), value: value.trim() } };
  }
  if (ADDRESS.test(entered)) return { identifier: { namespace: "email", value: entered } };
  if (DIGITS.test(entered)) return { identifier: { namespace: "phone", value: entered } };
  return { identifier: { namespace: "user_id", value: entered } };
}

/** Writes a JSON value: a text as it is, everything else as JSON. */
export function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Writes the name of an enum's value, such as `DELIVERY_STATE_DEAD`, without its prefix. */
export function word(name: string | undefined, prefix: string): string {
  return (name ?? "").replace(prefix, "").toLowerCase().replaceAll("_", " ");
}
