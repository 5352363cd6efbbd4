// Everything that is known about a person, from the calls of the API that return it, in all pages.
import { call, type Schemas } from "../api/client";

/** Why a person is in a segment. */
export type Membership = Schemas["profile.v1.ExplainMembershipResponse"] & { segment_id: string };

/** All of one person: facts with their sources, purposes, reasons, and receivers. */
export interface Known {
  profile: Schemas["profile.v1.Profile"];
  identifiers: Schemas["identity.v1.ProfileIdentifier"][];
  segments: Membership[];
  purposes: Record<string, Schemas["activation.v1.PurposePolicy"]>;
  deliveries: Schemas["activation.v1.Delivery"][];
  journeys: Schemas["activation.v1.JourneyRun"][];
  tickets: Schemas["activation.v1.GetTicketResponse"][];
  timeline: Schemas["profile.v1.TimelineEntry"][];
}

const PAGE = 500;

/**
 * Returns what is known about a person, with at most `most` entries of each list of the past, and
 * with sensitive values where there is a reason.
 */
export async function loadKnown(
  id: string,
  most: number,
  signal: AbortSignal,
  reason: string,
): Promise<Known> {
  const of = { profile_id: id };
  const page = (page_token: string) => ({ ...of, page_size: Math.min(PAGE, most), page_token });
  const [{ profile }, { identifiers }, own, { policy }, deliveries, journeys, tickets, timeline] =
    await Promise.all([
      call("/api/profile/GetProfile", of, signal, reason),
      call("/api/identity/ListIdentifiers", of, signal, reason),
      call("/api/segment/ListMemberships", of, signal, reason),
      call("/api/activation/GetContactPolicy", {}, signal),
      all(most, async (token) => {
        const { deliveries, next_page_token } = await call(
          "/api/activation/ListDeliveries",
          page(token),
          signal,
          reason,
        );
        return [deliveries, next_page_token];
      }),
      all(most, async (token) => {
        const { runs, next_page_token } = await call("/api/activation/ListRuns", page(token), signal, reason);
        return [runs, next_page_token];
      }),
      all(most, async (token) => {
        const { tickets, next_page_token } = await call(
          "/api/activation/ListTickets",
          page(token),
          signal,
          reason,
        );
        return [tickets, next_page_token];
      }),
      all(most, async (token) => {
        const { entries, next_page_token } = await call(
          "/api/profile/ListTimeline",
          page(token),
          signal,
          reason,
        );
        return [entries, next_page_token];
      }),
    ]);
  const segments = await inTurn(own.segment_ids, async (segment_id) => ({
    segment_id,
    ...(await call("/api/profile/ExplainMembership", { ...of, segment_id }, signal, reason)),
  }));
  const histories = await inTurn(tickets, ({ ticket_id = "" }) =>
    call("/api/activation/GetTicket", { ticket_id }, signal, reason),
  );
  return {
    profile,
    identifiers,
    segments,
    // A workspace may have no policy.
    purposes: (policy as typeof policy | undefined)?.purposes ?? {},
    deliveries,
    journeys,
    tickets: histories,
    timeline,
  };
}

async function all<T>(
  most: number,
  load: (token: string) => Promise<[T[], string]>,
): Promise<T[]> {
  const found: T[] = [];
  let token = "";
  do {
    const [page, next] = await load(token);
    found.push(...page);
    token = next;
  } while (token && found.length < most);
  return found.slice(0, most);
}

async function inTurn<T, U>(items: T[], load: (item: T) => Promise<U>): Promise<U[]> {
  const found: U[] = [];
  for (const item of items) found.push(await load(item));
  return found;
}
