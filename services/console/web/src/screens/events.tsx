// The events that arrive now, with filters; the newest first.
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Select, Space, Tag, Typography } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";

import { call, type Schemas, stream } from "../api/client";
import { identifierText, instant, valueText } from "../format";
import { IN_PLACE } from "../parts/address";
import { GREY } from "../parts/colours";
import { LiveState, useLive } from "../parts/live";
import { Rows } from "../parts/rows";

type Watched = Schemas["ingest.v1.WatchedEvent"];
type Message = Schemas["ingest.v1.WatchEventsResponse"];
const MOST = 200;

export default function Events() {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const [paused, setPaused] = useState(false);
  const sources = search.getAll("source");
  const names = search.getAll("name");
  const all = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => call("/api/ingest/ListSources", {}, signal),
  });
  const { events, hasSkipped, live } = useEvents(sources, names, paused);
  const choose = (key: string, values: string[]) => {
    const next = new URLSearchParams(search);
    next.delete(key);
    values.forEach((value) => next.append(key, value));
    setSearch(next, IN_PLACE);
  };
  return (
    <>
      <Typography.Title level={2}>{t("liveEvents")}</Typography.Title>
      <Space wrap style={{ marginBottom: 16 }}>
        <Select
          mode="multiple"
          aria-label={t("source")}
          placeholder={t("source")}
          style={{ minWidth: 200 }}
          value={sources}
          onChange={(values) => choose("source", values)}
          options={(all.data?.sources ?? []).map((each) => ({ value: each.source?.source_id }))}
        />
        <Select
          mode="tags"
          aria-label={t("event")}
          placeholder={t("event")}
          style={{ minWidth: 200 }}
          value={names}
          onChange={(values) => choose("name", values)}
        />
        <Button onClick={() => setPaused(!paused)}>{t(paused ? "resume" : "pause")}</Button>
      </Space>
      <LiveState live={live} />
      {hasSkipped && (
        <Alert type="info" style={{ marginBottom: 16 }} title={t("eventsSkipped")} />
      )}
      <EventRows events={events} />
    </>
  );
}

/**
 * Returns the events since the screen was opened, the newest first. After an error or a pause it
 * continues where it was.
 */
function useEvents(sources: string[], names: string[], paused: boolean) {
  const [events, setEvents] = useState<Watched[]>([]);
  const [hasSkipped, setSkipped] = useState(false);
  const shownUpTo = useRef<Message["token"]>(undefined);
  const filter = JSON.stringify([sources, names]);
  useEffect(() => setEvents([]), [filter]);
  const live = useLive(filter, paused, (signal, hasArrived) => {
    const after = shownUpTo.current;
    const body = { source_ids: sources, names, ...(after && { after }) };
    return stream("/api/ingest/WatchEvents", body, signal, (message) => {
      const { events: found = [], has_skipped, token } = message as Message;
      shownUpTo.current = token;
      hasArrived();
      if (has_skipped) setSkipped(true);
      if (found.length) setEvents((old) => [...found].reverse().concat(old).slice(0, MOST));
    });
  });
  return { events, hasSkipped, live };
}

function EventRows(props: { events: Watched[] }) {
  const { t, i18n } = useTranslation();
  return (
    <Rows
      size="small"
      rowKey="fact_id"
      pagination={false}
      locale={{ emptyText: <span style={{ color: GREY }}>{t("live_waiting")}</span> }}
      dataSource={props.events}
      columns={[
        { title: t("time"), render: (_, row) => instant(row.recorded_at_us, i18n.language) },
        { title: t("source"), dataIndex: "source_id" },
        {
          title: t("event"),
          render: (_, row) => (
            <>
              {row.event?.name || row.event?.type?.replace("EVENT_TYPE_", "").toLowerCase()}{" "}
              {row.event?.channel && <Tag>{row.event.channel}</Tag>}
            </>
          ),
        },
        {
          title: t("identifiers"),
          render: (_, row) =>
            (row.event?.identifiers ?? []).map((each) => (
              <Link
                key={identifierText(each)}
                to={`/profiles?q=${encodeURIComponent(identifierText(each))}`}
                style={{ marginInlineEnd: 8 }}
              >
                {identifierText(each)}
              </Link>
            )),
        },
        {
          title: t("value"),
          render: (_, row) => (
            <code style={{ overflowWrap: "anywhere" }}>
              {[row.event?.properties, row.event?.traits]
                .map((value) => (value == null ? "" : valueText(value)))
                .filter((text) => text && text !== "{}")
                .join(" ")}
            </code>
          ),
        },
      ]}
    />
  );
}
