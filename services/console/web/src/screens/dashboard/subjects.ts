// What tiles can count: the titles of everything that is defined, and where each is shown.
import { useQuery } from "@tanstack/react-query";

import { call, type Schemas } from "../../api/client";
import { TITLES } from "../../parts/titles";
import { word } from "../../words";

export type Tile = Schemas["activation.v1.Tile"];
export type Data = Tile["data"];
export type Figure = Schemas["activation.v1.Figure"];

/** A thing that a tile can count. */
export interface Subject {
  id: string;
  title: string;
}
export type Subjects = Record<string, Subject[]>;

export const DATA = [
  ...["TILE_DATA_MEMBERS", "TILE_DATA_DELIVERIES", "TILE_DATA_JOURNEYS", "TILE_DATA_TICKETS"],
] as Data[];
export const CHARTS = [
  ...["TILE_CHART_NUMBERS", "TILE_CHART_BARS", "TILE_CHART_FUNNEL", "TILE_CHART_TABLE"],
] as Tile["chart"][];

/** Returns what can be counted, by the kind of data. */
export function useSubjects() {
  return useQuery({
    queryKey: ["tile-subjects"],
    queryFn: async ({ signal }): Promise<Subjects> => {
      const [segments, tags, destinations, journeys, queues] = await Promise.all([
        call("/api/segment/ListSegments", {}, signal),
        TITLES.tag(signal),
        TITLES.destination(signal),
        TITLES.journey(signal),
        TITLES.queue(signal),
      ]);
      const titles = new Map(tags);
      return {
        TILE_DATA_MEMBERS: [
          ...segments.segments
            .filter((each) => !each.segment?.retired)
            .map(({ segment }) => subject(segment?.segment_id, segment?.title)),
          ...segments.tags.map((each) => subject(each.segment_id, tagTitle(titles, each.segment_id ?? ""))),
        ],
        TILE_DATA_DELIVERIES: destinations.map((each) => subject(...each)),
        TILE_DATA_JOURNEYS: journeys.map((each) => subject(...each)),
        TILE_DATA_TICKETS: queues.map((each) => subject(...each)),
      };
    },
  });
}

function subject(id: string | undefined, title: string | undefined): Subject {
  return { id: id ?? "", title: title || (id ?? "") };
}

/** Returns the title of `tag:ID`, of `tag:ID=VALUE`, or of `stage:SET=STAGE`. */
function tagTitle(titles: Map<string | undefined, string | undefined>, id: string): string {
  const [name, ...value] = id.replace(/^(tag|stage):/, "").split("=");
  const title = titles.get(name ?? "") || (name ?? "");
  return value.length > 0 ? `${title}: ${value.join("=")}` : title;
}

/** Returns the title of what a tile counts. */
export function titleOf(subjects: Subjects | undefined, data: Data, id: string): string {
  return subjects?.[data]?.find((each) => each.id === id)?.title ?? id;
}

/** Returns the address of the screen behind a figure. */
export function placeOf(data: Data, figure: Figure): string {
  const id = encodeURIComponent(figure.subject_id ?? "");
  if (data === "TILE_DATA_JOURNEYS") return `/journeys/${id}`;
  if (data === "TILE_DATA_TICKETS") return `/tickets?queue=${id}`;
  if (data === "TILE_DATA_DELIVERIES")
    return `/deliveries?state=DELIVERY_STATE_${figure.name?.toUpperCase()}&destination=${id}`;
  return /^(tag|stage):/.test(figure.subject_id ?? "") ? "/tags" : `/segments/${id}`;
}

/** Writes what a figure counts of its subject. */
export function figureWord(data: Data, name: string | undefined, language: string): string {
  const prefix = data === "TILE_DATA_DELIVERIES" ? "DELIVERY_STATE_" : "FIGURE_";
  return word(`${prefix}${(name ?? "").toUpperCase()}`, prefix, language);
}
