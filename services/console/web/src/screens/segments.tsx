// The segments, how many people are in each, and how many are in two of them.
import { useQuery } from "@tanstack/react-query";
import { Button, Card, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";

import { call, type Schemas } from "../api/client";
import { number } from "../format";
import { IN_PLACE } from "../parts/address";
import { Head } from "../parts/head";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";

type Segment = Schemas["segment.v1.SegmentSummary"];
const MOST = 50;

export default function Segments() {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const chosen = search.getAll("overlap").slice(0, MOST);
  const query = useQuery({
    queryKey: ["segments"],
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
  });
  const segments = (query.data?.segments ?? []).filter((each) => !each.segment?.retired);
  return (
    <>
      <Head>
        <Typography.Title level={2}>{t("segments")}</Typography.Title>
        <Link to="/segments/new">
          <Button type="primary">{t("newSegment")}</Button>
        </Link>
      </Head>
      <Shown query={query} empty={segments.length === 0 && t("noSegments")}>
        <Rows
          rowKey={(row) => row.segment?.segment_id ?? ""}
          pagination={{ hideOnSinglePage: true }}
          dataSource={segments}
          rowSelection={{
            selectedRowKeys: chosen,
            columnTitle: t("compare"),
            onChange: (keys) => setSearch({ overlap: keys.map(String) }, IN_PLACE),
            getTitleCheckboxProps: () => ({ "aria-label": t("compare") }),
            getCheckboxProps: (row) => ({
              "aria-label": `${t("compare")} ${row.segment?.title || row.segment?.segment_id}`,
            }),
          }}
          columns={[
            {
              title: t("segment"),
              render: (_, row) => (
                <Link to={`/segments/${row.segment?.segment_id}`}>{titleOf(row)}</Link>
              ),
            },
            { title: t("size"), render: (_, row) => number(row.size, i18n.language) },
            {
              title: t("state"),
              render: (_, row) =>
                row.live ? <Tag color="#237804">{t("live")}</Tag> : <Tag>{t("backfilling")}</Tag>,
            },
            { title: t("version"), render: (_, row) => row.segment?.version },
          ]}
        />
        {chosen.length > 1 && <Overlap ids={chosen} segments={segments} />}
      </Shown>
    </>
  );
}

function titleOf(each: Segment | undefined): string {
  return each?.segment?.title || (each?.segment?.segment_id ?? "");
}

function Overlap(props: { ids: string[]; segments: Segment[] }) {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["overlap", props.ids],
    queryFn: ({ signal }) =>
      call("/api/segment/OverlapSegments", { segment_ids: props.ids }, signal),
  });
  const title = (id: string | undefined) =>
    titleOf(props.segments.find((each) => each.segment?.segment_id === id)) || id;
  return (
    <Card title={t("overlap")} style={{ marginTop: 16 }}>
      <Shown query={query}>
        <Rows
          size="small"
          rowKey="segment_id"
          pagination={false}
          dataSource={query.data?.rows ?? []}
          columns={[
            { title: t("segment"), render: (_, row) => title(row.segment_id) },
            ...props.ids.map((id, index) => ({
              title: title(id),
              key: id,
              render: (_: unknown, row: Schemas["segment.v1.OverlapRow"]) =>
                number(row.sizes?.[index], i18n.language),
            })),
          ]}
        />
      </Shown>
    </Card>
  );
}
