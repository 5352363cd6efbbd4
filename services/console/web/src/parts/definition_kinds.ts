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
  /** Of a journey: what becomes of the people inside, and what is likely to be a mistake. */
  people?: Schemas["activation.v1.JourneyStepEdit"][];
  warnings?: Schemas["activation.v1.JourneyWarning"][];
}

export interface Kind {
  list: (signal: AbortSignal) => Promise<Definition[]>;
  define: (content: never, etag: string, dryRun: boolean) => Promise<Defined>;
  /** What a new one begins with. */
  first: object;
  /** The member with the id. */
  id: string;
  /** Whether what is entered may have secrets. */
  hasSecrets: boolean;
  /** Returns the form of a definition that is edited, and the definition that a form describes. */
  form: (content: object) => Promise<unknown>;
  content: (form: unknown) => Promise<unknown>;
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

const AS_IT_IS = {
  hasSecrets: false,
  form: (content: object) => withRuleForms(content, "write"),
  content: (form: unknown) => withRuleForms(form, "read"),
};

export const KINDS: Record<string, Kind> = {
  segment: {
    ...AS_IT_IS,
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
    ...AS_IT_IS,
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
    ...AS_IT_IS,
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
    ...AS_IT_IS,
    hasSecrets: true,
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
  journey: {
    ...AS_IT_IS,
    id: "journey_id",
    first: {
      journey_id: "",
      title: "",
      entry: { by: { segment: { segment_id: "", on: "MOVEMENT_ENTERED" } } },
      steps: [{ wait: { id: "wait", span_us: 86_400_000_000 } }],
    },
    list: async (signal) =>
      (await call("/api/activation/ListJourneys", {}, signal)).journeys.map((each) =>
        listed("journey_id", { content: each.journey, etag: each.etag }),
      ),
    define: (journey: Schemas["activation.v1.Journey"], etag, dry_run) =>
      call("/api/activation/DefineJourney", { journey, etag, dry_run }),
    form: (content) => withRuleForms(withoutEmpty(content), "write"),
  },
  template: {
    ...AS_IT_IS,
    id: "template_id",
    first: { template_id: "", title: "", texts: [{ locale: "zh-CN", text: "" }] },
    list: async (signal) =>
      (await call("/api/activation/ListTemplates", {}, signal)).templates.map((each) =>
        listed("template_id", { content: each.template, etag: each.etag }),
      ),
    define: (template: Schemas["activation.v1.TemplateDefined"], etag, dry_run) =>
      call("/api/activation/DefineTemplate", { template, etag, dry_run }),
  },
  coupons: {
    ...AS_IT_IS,
    id: "pool_id",
    first: { pool_id: "", title: "", prefix: "" },
    list: async (signal) =>
      (await call("/api/activation/ListCouponPools", {}, signal)).pools.map((each) =>
        listed("pool_id", { content: each.pool, etag: each.etag }),
      ),
    define: (pool: Schemas["activation.v1.CouponPool"], etag, dry_run) =>
      call("/api/activation/DefineCouponPool", { pool, etag, dry_run }),
  },
  slot: {
    ...AS_IT_IS,
    id: "slot_id",
    first: { slot_id: "", title: "", variants: [], fallback: {} },
    list: async (signal) =>
      (await call("/api/activation/ListSlots", {}, signal)).slots.map((each) =>
        listed("slot_id", { content: each.slot, etag: each.etag }),
      ),
    define: (slot: Schemas["activation.v1.Slot"], etag, dry_run) =>
      call("/api/activation/DefineSlot", { slot, etag, dry_run }),
  },
  queue: {
    ...AS_IT_IS,
    id: "queue_id",
    first: { queue_id: "", title: "", zone: "Asia/Shanghai", agents: [] },
    list: async (signal) =>
      (await call("/api/activation/ListQueues", {}, signal)).queues.map((each) =>
        listed("queue_id", { content: each.queue, etag: each.etag }),
      ),
    define: (queue: Schemas["activation.v1.DeskQueue"], etag, dry_run) =>
      call("/api/activation/DefineQueue", { queue, etag, dry_run }),
  },
  dashboard: {
    ...AS_IT_IS,
    id: "dashboard_id",
    first: { dashboard_id: "", title: "", tiles: [] },
    list: async (signal) =>
      (await call("/api/activation/ListDashboards", {}, signal)).dashboards.map((each) =>
        listed("dashboard_id", { content: each.dashboard, etag: each.etag }),
      ),
    define: (dashboard: Schemas["activation.v1.Dashboard"], etag, dry_run) =>
      call("/api/activation/DefineDashboard", { dashboard, etag, dry_run }),
  },
  contact: {
    ...AS_IT_IS,
    id: "",
    first: {},
    list: async (signal) => {
      const { policy, etag } = await call("/api/activation/GetContactPolicy", {}, signal);
      return [{ ...listed("", { content: policy, etag }), id: "contact" }];
    },
    define: (policy: Schemas["activation.v1.ContactPolicy"], etag, dry_run) =>
      call("/api/activation/DefineContactPolicy", { policy, etag, dry_run }),
    form: (content) => Promise.resolve(withoutEmpty(content)),
  },
  settings: {
    ...AS_IT_IS,
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

/** The members that have a rule, or a condition of a journey, which may have rules. */
const RULES = ["rule", "when", "condition"];
const CONDITIONS = ["rule", "coupon", "every", "some", "negated"];

/** Replaces the rules in a definition: they are read from, or written in, the form of packs. */
async function withRuleForms(content: unknown, way: "read" | "write"): Promise<unknown> {
  if (Array.isArray(content)) return Promise.all(content.map((each) => withRuleForms(each, way)));
  if (typeof content !== "object" || content === null) return content;
  const parts = await Promise.all(
    Object.entries(content).map(async ([name, value]) => [
      name,
      RULES.includes(name) && isRule(value)
        ? await translated(value, way)
        : await withRuleForms(value, way),
    ]),
  );
  return Object.fromEntries(parts) as unknown;
}

function isRule(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return !Object.keys(value).some((name) => CONDITIONS.includes(name));
}

async function translated(value: unknown, way: "read" | "write"): Promise<unknown> {
  if (way === "read") return (await call("/api/profile/TranslateRule", { json: value })).rule;
  const rule = value as Schemas["rule.v1.Rule"];
  return (await call("/api/profile/TranslateRule", { rule })).json;
}

/** The members of a journey whose 0 differs from their absence. */
const PRESENT = ["again_after_us", "clock", "priority", "value"];

/** Leaves out what says nothing: no text, no number, no list, and values that are not set. */
function withoutEmpty(content: unknown): unknown {
  if (Array.isArray(content)) return content.map(withoutEmpty);
  if (typeof content !== "object" || content === null) return content;
  return Object.fromEntries(
    Object.entries(content)
      .filter(([name, value]) => PRESENT.includes(name) || !isEmpty(value))
      .map(([name, value]) => [name, withoutEmpty(value)]),
  );
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === "string") return value === "" || value.endsWith("_UNSPECIFIED");
  return value === 0 || value === false || value === null;
}
