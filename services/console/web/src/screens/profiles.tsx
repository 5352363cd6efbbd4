// Finds persons by any identifier or by name, and lists all page by page.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Alert, Input, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useSearchParams } from "react-router";

import { call, type Schemas } from "../api/client";
import { identifierText, instant, nameOf, number } from "../format";
import { More } from "../parts/more";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { useTitles } from "../parts/titles";
import { useSession } from "../session";

const PAGE = 50;

export default function Profiles() {
  const { t } = useTranslation();
  const { caller } = useSession();
  const navigate = useNavigate();
  const [search, setSearch] = useSearchParams();
  const text = search.get("q") ?? "";
  const [entered, setEntered] = useState(text);
  useEffect(() => setEntered(text), [text]);
  const found = useQuery({
    queryKey: ["search", text],
    enabled: text !== "",
    queryFn: ({ signal }) =>
      call("/api/profile/SearchProfiles", { text, page_size: PAGE, brief: true }, signal),
  });
  const all = useInfiniteQuery({
    queryKey: ["profiles"],
    enabled: text === "",
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call("/api/profile/ListProfiles", { page_size: PAGE, page_token: pageParam, brief: true }, signal),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const only = found.data?.profiles.length === 1 ? found.data.profiles[0]?.profile_id : undefined;
  useEffect(() => {
    if (text && only) void navigate(`/profiles/${only}`, { replace: true });
  }, [text, only]);
  const unknown = caller.role === "ROLE_READER" ? "notFoundMasked" : "notFound";
  const nothing = text ? unknown : "noProfiles";
  const rows = text ? (found.data?.profiles ?? []) : (all.data?.pages.flatMap((p) => p.profiles) ?? []);
  return (
    <>
      <Typography.Title level={2}>{t("profiles")}</Typography.Title>
      <Input.Search
        size="large"
        allowClear
        aria-label={t("search")}
        placeholder={t("searchHint")}
        enterButton={t("search")}
        loading={found.isFetching}
        style={{ maxWidth: 640, marginBottom: 16 }}
        value={entered}
        onChange={(event) => setEntered(event.target.value)}
        onSearch={(value) => setSearch(value.trim() ? { q: value.trim() } : {})}
      />
      <Shown query={text ? found : all} empty={rows.length === 0 && t(nothing)}>
        {found.data?.has_more && (
          <Alert type="info" showIcon style={{ marginBottom: 16 }} title={t("moreFound")} />
        )}
        <People rows={rows} />
        {!text && <More query={all} />}
      </Shown>
    </>
  );
}

function People(props: { rows: Schemas["profile.v1.Profile"][] }) {
  const { t, i18n } = useTranslation();
  const title = useTitles("tag");
  return (
    <Rows
      rowKey="profile_id"
      pagination={false}
      dataSource={props.rows}
      columns={[
        {
          title: t("profile"),
          render: (_, row) => <Link to={`/profiles/${row.profile_id}`}>{nameOf(row)}</Link>,
        },
        {
          title: t("identifiers"),
          render: (_, row) => (row.identifiers ?? []).slice(0, 3).map(identifierText).join(", "),
        },
        {
          title: t("tags"),
          render: (_, row) =>
            (row.tags ?? [])
              .map((tag) => [title(tag.tag_id), tag.value].filter(Boolean).join(": "))
              .join(", "),
        },
        { title: t("events"), render: (_, row) => number(row.event_count, i18n.language) },
        { title: t("lastSeen"), render: (_, row) => instant(row.last_seen_us, i18n.language) },
      ]}
    />
  );
}
