// Writes instants, numbers, identifiers and values for people.
import type { Schemas } from "./api/client";

/** Writes an instant (Unix microseconds) in the zone of the browser, with its name. */
export function instant(us: number | undefined, language: string): string {
  if (!us) return "";
  return new Date(us / 1000).toLocaleString(language === "zh" ? "zh-CN" : "en-GB", {
    dateStyle: language === "zh" ? "short" : "medium",
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

/** Returns whether a text is the id of a profile. */
export function isProfileId(text: string): boolean {
  return /^[0-9a-fA-F]{32}$/.test(text);
}

/** Writes a JSON value: a text as it is, everything else as JSON. */
export function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Returns what a profile is called: its name, else an identifier, else its id. */
export function nameOf(profile: Schemas["profile.v1.Profile"] | undefined): string {
  const name = profile?.traits?.find((trait) => trait.name === "name")?.value;
  if (name != null && name !== "") return valueText(name);
  return identifierText(profile?.identifiers?.[0]) || (profile?.profile_id ?? "");
}
