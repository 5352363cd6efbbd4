// One segment: its rule in words, and its members, now and as of an instant.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Button, Card, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";

import { call } from "../api/client";
import { instant, number } from "../format";
import { AsOf, useAsOf } from "../parts/as_of";
import { Changes } from "../parts/changes";
import { Head } from "../parts/head";
import { More } from "../parts/more";
import { Person, useNames } from "../parts/people";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";

const PAGE = 100;
const REFRESH_MS = 5_000;

export default function SegmentView() {
  const { t, i18n } = useTranslation();
  const id = useParams()["id"] ?? "";
  const [asOf] = useAsOf();
  const segments = useQuery({
    queryKey: ["segments"],
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
    refetchInterval: REFRESH_MS,
  });
  const found = segments.data?.segments.find((each) => each.segment?.segment_id === id);
  const rule = found?.segment?.rule;
  const words = useQuery({
    queryKey: ["rule", rule],
    enabled: rule !== undefined,
    queryFn: ({ signal }) => call("/api/profile/TranslateRule", { rule: rule! }, signal),
  });
  const members = useInfiniteQuery({
    queryKey: ["members", id, asOf],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/segment/ListMembers",
        {
          segment_id: id,
          page_size: PAGE,
          page_token: pageParam,
          ...(asOf ? { as_of_us: asOf } : {}),
        },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
    // One page of now is loaded again; many pages would be many calls.
    refetchInterval: ({ state }) =>
      asOf === 0 && (state.data?.pages.length ?? 0) <= 1 ? REFRESH_MS : false,
  });
  const rows = members.data?.pages.flatMap((page) => page.members) ?? [];
  const names = useNames(rows.map((row) => row.profile_id ?? ""));
  return (
    <>
      <Head>
        <Typography.Title level={2}>{found?.segment?.title || id}</Typography.Title>
        <Link to={`/segments/${id}/edit`}>
          <Button>{t("edit")}</Button>
        </Link>
      </Head>
      <Typography.Paragraph style={{ whiteSpace: "pre-wrap" }}>
        {i18n.language === "zh" ? words.data?.text_chinese : words.data?.text}
      </Typography.Paragraph>
      <Shown query={segments} empty={!found && t("noDefinition")}>
        {/* The size is that of now. */}
        {found && asOf === 0 && (
          <p>
            {t("size")}: {number(found.size, i18n.language)}
          </p>
        )}
      </Shown>
      <AsOf from={0} />
      <Card title={t("members")} style={{ marginTop: 16 }}>
        <Shown query={members} empty={rows.length === 0 && t(asOf ? "noMembersThen" : "noMembers")}>
          <Rows
            rowKey="profile_id"
            size="small"
            pagination={false}
            dataSource={rows}
            columns={[
              {
                title: t("profile"),
                render: (_, row) => (
                  <Person id={row.profile_id} name={names.get(row.profile_id ?? "")} />
                ),
              },
              { title: t("since"), render: (_, row) => instant(row.since_us, i18n.language) },
            ]}
          />
          <More query={members} />
        </Shown>
      </Card>
      {asOf === 0 && <Changes key={id} segment={id} />}
    </>
  );
}
