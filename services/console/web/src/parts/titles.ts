// The titles of what is defined; an id stands for itself where it has none.
import { useQuery } from "@tanstack/react-query";

import { call } from "../api/client";

type Titles = [id: string | undefined, title: string | undefined][];
/** What loads the titles of each kind. */
export const TITLES = {
  tag: async (signal: AbortSignal): Promise<Titles> =>
    (await call("/api/profile/ListTags", {}, signal)).tags.map(({ tag }) => [tag?.tag_id, tag?.title]),
  segment: async (signal: AbortSignal): Promise<Titles> =>
    (await call("/api/segment/ListSegments", {}, signal)).segments.map(({ segment }) => [
      segment?.segment_id,
      segment?.title,
    ]),
  journey: async (signal: AbortSignal): Promise<Titles> =>
    (await call("/api/activation/ListJourneys", {}, signal)).journeys.map(({ journey }) => [
      journey?.journey_id,
      journey?.title,
    ]),
  destination: async (signal: AbortSignal): Promise<Titles> =>
    (await call("/api/activation/ListDestinations", {}, signal)).destinations.map(({ destination }) => [
      destination?.destination_id,
      destination?.title,
    ]),
  queue: async (signal: AbortSignal): Promise<Titles> =>
    (await call("/api/activation/ListQueues", {}, signal)).queues.map(({ queue }) => [
      queue?.queue_id,
      queue?.title,
    ]),
};

/** Returns what gives the title of an id. */
export function useTitles(kind: keyof typeof TITLES): (id: string | undefined) => string {
  const query = useQuery({
    queryKey: ["titles", kind],
    staleTime: 60_000,
    queryFn: ({ signal }) => TITLES[kind](signal),
  });
  const found = new Map(query.data);
  return (id) => found.get(id) || (id ?? "");
}
