// One segment: its rule and its members, now and as of an instant.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Button, Card, DatePicker, Space, Table, Typography } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";
import { Link, useParams, useSearchParams } from "react-router";

import { call } from "../api/client";
import { instant, number, ZONE } from "../format";
import { Shown } from "../parts/states";

const PAGE = 100;

export default function SegmentView() {
  const { t, i18n } = useTranslation();
  const id = useParams()["id"] ?? "";
  const [search, setSearch] = useSearchParams();
  const asOf = Number(search.get("as_of") ?? 0);
  const segments = useQuery({
    queryKey: ["segments"],
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
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
  });
  const found = segments.data?.segments.find((each) => each.segment?.segment_id === id);
  const rows = members.data?.pages.flatMap((page) => page.members) ?? [];
  return (
    <>
      <Typography.Title level={2}>{found?.segment?.title ?? id}</Typography.Title>
      <Space wrap style={{ marginBottom: 16 }}>
        <span>
          {t("size")}: {number(found?.size, i18n.language)}
        </span>
        <label htmlFor="as-of">{t("asOf")}</label>
        <DatePicker
          id="as-of"
          showTime
          placeholder={t("now")}
          value={asOf ? dayjs(asOf / 1000) : null}
          onChange={(value) =>
            setSearch(value ? { as_of: String(value.valueOf() * 1000) } : {}, { replace: true })
          }
        />
        <Typography.Text type="secondary">{ZONE}</Typography.Text>
      </Space>
      <Card title={t("members")}>
        <Shown query={members} empty={rows.length === 0 && t("noMembers")}>
          <Table
            rowKey="profile_id"
            size="small"
            pagination={false}
            scroll={{ x: true }}
            dataSource={rows}
            columns={[
              {
                title: t("profile"),
                render: (_, row) => (
                  <Link to={`/profiles/${row.profile_id}`}>
                    <code>{row.profile_id}</code>
                  </Link>
                ),
              },
              { title: t("since"), render: (_, row) => instant(row.since_us, i18n.language) },
            ]}
          />
          {members.hasNextPage && (
            <Button
              style={{ marginTop: 16 }}
              loading={members.isFetchingNextPage}
              onClick={() => void members.fetchNextPage()}
            >
              {t("more")}
            </Button>
          )}
        </Shown>
      </Card>
    </>
  );
}
