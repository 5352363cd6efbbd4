// Whether messages of a purpose may be sent to a person, by what the purpose needs.
import type { Schemas } from "../api/client";

type Purpose = Schemas["activation.v1.PurposePolicy"];

/** Returns what a purpose needs; one that the policy does not name needs consent. */
export function needOf(purpose: Purpose | undefined): Schemas["activation.v1.ConsentNeed"] {
  return purpose?.consent ?? "CONSENT_NEED_GRANTED";
}

/** Returns whether messages of a purpose may be sent to a person with this answer. */
export function isAllowed(
  purpose: Purpose | undefined,
  consent: Schemas["profile.v1.Consent"] | undefined,
): boolean {
  const need = needOf(purpose);
  if (need === "CONSENT_NEED_NOTHING") return true;
  if (need === "CONSENT_NEED_NOT_REFUSED") return consent?.granted !== false;
  return consent?.granted === true;
}
