// What happened to a person, the newest first.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Card, Select, Tag, Timeline, Typography } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useLocation, useSearchParams } from "react-router";

import { call, type Schemas } from "../../api/client";
import { instant, valueText } from "../../format";
import { IN_PLACE } from "../../parts/address";
import { More } from "../../parts/more";
import { keptFor } from "../../parts/reveal";
import { Shown } from "../../parts/states";
import { word } from "../../words";

type Kind = Schemas["profile.v1.TimelineKind"];
const KINDS: Kind[] = [
  "TIMELINE_KIND_AD_CLICK",
  "TIMELINE_KIND_VIEW",
  "TIMELINE_KIND_SALES_CONTACT",
  "TIMELINE_KIND_ORDER",
  "TIMELINE_KIND_SERVICE_REQUEST",
  "TIMELINE_KIND_MEMBER_ACTIVITY",
  "TIMELINE_KIND_OTHER",
];
const PAGE = 50;

/** Returns whether a value says anything. */
function hasContent(text: string | undefined): boolean {
  return text !== undefined && text !== "" && text !== "{}" && text !== "null";
}

export function Events(props: { id: string; asOf: number; reason: string }) {
  const { t, i18n } = useTranslation();
  const hash = useLocation().hash.slice(1);
  const [search, setSearch] = useSearchParams();
  const kinds = search.getAll("kind") as Kind[];
  const query = useInfiniteQuery({
    queryKey: ["timeline", props.id, props.asOf, kinds, props.reason],
    ...keptFor(props.reason, false),
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/profile/ListTimeline",
        {
          profile_id: props.id,
          page_size: PAGE,
          page_token: pageParam,
          kinds,
          ...(props.asOf ? { as_of_us: props.asOf } : {}),
        },
        signal,
        props.reason,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const entries = query.data?.pages.flatMap((page) => page.entries) ?? [];
  // A fact that an explanation names may be on a later page.
  const isShown = !hash || entries.some((entry) => `fact-${entry.fact_id}` === hash);
  useEffect(() => {
    if (!hash) return;
    if (isShown) document.getElementById(hash)?.scrollIntoView({ block: "center" });
    else if (query.hasNextPage && !query.isFetching) void query.fetchNextPage();
  }, [hash, isShown, query.isFetching]);
  const choose = (chosen: Kind[]) => {
    const next = new URLSearchParams(search);
    next.delete("kind");
    chosen.forEach((kind) => next.append("kind", kind));
    setSearch(next, IN_PLACE);
  };
  return (
    <Card title={t("timeline")} style={{ marginTop: 16 }}>
      <Select
        mode="multiple"
        aria-label={t("kind")}
        placeholder={t("kind")}
        style={{ minWidth: 240, marginBottom: 16 }}
        value={kinds}
        onChange={choose}
        options={KINDS.map((kind) => ({
          value: kind,
          label: word(kind, "TIMELINE_KIND_", i18n.language),
        }))}
      />
      <Shown query={query} empty={entries.length === 0 && t("noEvents")}>
        <Timeline
          items={entries.map((entry) => {
            const id = `fact-${entry.fact_id}`;
            const details = [entry.properties, entry.traits].map(valueText).filter(hasContent);
            return {
              ...(id === hash ? { color: "red" } : {}),
              content: (
                <div id={id} {...(id === hash ? { "aria-current": true } : {})}>
                  <strong>{entry.name || entry.type || entry.kind?.split(".").at(-1)}</strong>{" "}
                  <Tag>{word(entry.timeline_kind, "TIMELINE_KIND_", i18n.language)}</Tag>{" "}
                  <Typography.Text type="secondary">
                    {instant(entry.occurred_at_us, i18n.language)} · {entry.source_id}
                  </Typography.Text>
                  <div style={{ overflowWrap: "anywhere" }}>
                    <code>{details.join(" ")}</code>
                  </div>
                </div>
              ),
            };
          })}
        />
        <More query={query} />
      </Shown>
    </Card>
  );
}
