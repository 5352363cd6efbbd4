// The kinds of definitions: how each is listed, and how one is defined.
import { call, type Schemas } from "../api/client";

export interface Definition {
  id: string;
  title: string;
  version: number;
  etag: string;
  content: object;
}

export interface Defined {
  changed: boolean;
  token: Schemas["type.v1.Token"];
}

export interface Kind {
  list: (signal: AbortSignal) => Promise<Definition[]>;
  define: (content: never, etag: string, dryRun: boolean) => Promise<Defined>;
  /** What a new one begins with. */
  first: object;
  /** The members with the id and with rules. */
  id: string;
}

type Content = Record<string, unknown>;

function listed(
  id: string,
  each: { content: object | undefined; etag: string | undefined },
): Definition {
  const content = (each.content ?? {}) as Content;
  const { version = 0, ...rest } = content;
  return {
    id: String(content[id] ?? ""),
    title: String(content["title"] ?? ""),
    version: Number(version),
    etag: each.etag ?? "",
    content: rest,
  };
}

export const KINDS: Record<string, Kind> = {
  segment: {
    id: "segment_id",
    first: { segment_id: "", title: "", rule: { all: [] } },
    list: async (signal) =>
      (await call("/api/segment/ListSegments", {}, signal)).segments.map((each) =>
        listed("segment_id", { content: each.segment, etag: each.etag }),
      ),
    define: (segment: Schemas["segment.v1.SegmentDefined"], etag, dry_run) =>
      call("/api/segment/DefineSegment", { segment, etag, dry_run }),
  },
  tag: {
    id: "tag_id",
    first: { tag_id: "", title: "", kind: "TAG_KIND_TAG", values: [] },
    list: async (signal) =>
      (await call("/api/profile/ListTags", {}, signal)).tags.map((each) =>
        listed("tag_id", { content: each.tag, etag: each.etag }),
      ),
    define: (tag: Schemas["profile.v1.TagDefined"], etag, dry_run) =>
      call("/api/profile/DefineTag", { tag, etag, dry_run }),
  },
  source: {
    id: "source_id",
    first: { source_id: "", title: "", channel: "web", trust: "SOURCE_TRUST_SERVER" },
    list: async (signal) =>
      (await call("/api/ingest/ListSources", {}, signal)).sources.map((each) =>
        listed("source_id", { content: each.source, etag: each.etag }),
      ),
    define: (source: Schemas["ingest.v1.SourceDefined"], etag, dry_run) =>
      call("/api/ingest/DefineSource", { source, etag, dry_run }),
  },
  destination: {
    id: "destination_id",
    first: {
      destination_id: "",
      title: "",
      webhook: { url: "https://" },
      segment_ids: [],
      triggers: ["TRIGGER_ENTERED"],
    },
    list: async (signal) =>
      (await call("/api/activation/ListDestinations", {}, signal)).destinations.map((each) =>
        listed("destination_id", { content: each.destination, etag: each.etag }),
      ),
    define: (destination: Schemas["activation.v1.DestinationDefined"], etag, dry_run) =>
      call("/api/activation/DefineDestination", { destination, etag, dry_run }),
  },
  settings: {
    id: "",
    first: {},
    list: async (signal) => {
      const { settings, etag } = await call("/api/profile/GetSettings", {}, signal);
      return [{ ...listed("", { content: settings, etag }), id: "settings" }];
    },
    define: (settings: Schemas["profile.v1.ProfileSettingsDefined"], etag, dry_run) =>
      call("/api/profile/DefineSettings", { settings, etag, dry_run }),
  },
};

/** Replaces the rules in a definition, which are written as in a pack. */
export async function withRuleForms(content: unknown, read: boolean): Promise<unknown> {
  if (Array.isArray(content)) return Promise.all(content.map((each) => withRuleForms(each, read)));
  if (typeof content !== "object" || content === null) return content;
  const parts = await Promise.all(
    Object.entries(content).map(async ([name, value]) => {
      if (name !== "rule") return [name, await withRuleForms(value, read)];
      if (read) return [name, (await call("/api/profile/TranslateRule", { json: value })).rule];
      const rule = value as Schemas["rule.v1.Rule"];
      return [name, (await call("/api/profile/TranslateRule", { rule })).json];
    }),
  );
  return Object.fromEntries(parts) as unknown;
}
