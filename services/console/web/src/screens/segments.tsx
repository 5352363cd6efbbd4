// The segments, and how many people are in each.
import { useQuery } from "@tanstack/react-query";
import { Table, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../api/client";
import { number } from "../format";
import { Shown } from "../parts/states";

export default function Segments() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["segments"],
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
  });
  return (
    <>
      <Typography.Title level={2}>{t("segments")}</Typography.Title>
      <Shown query={query} empty={query.data?.segments.length === 0 && t("noSegments")}>
        <Table
          rowKey={(row) => row.segment?.segment_id ?? ""}
          pagination={{ hideOnSinglePage: true }}
          scroll={{ x: true }}
          dataSource={query.data?.segments ?? []}
          columns={[
            {
              title: t("segment"),
              render: (_, row) => (
                <Link to={`/segments/${row.segment?.segment_id}`}>
                  {row.segment?.title || row.segment?.segment_id}
                </Link>
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
      </Shown>
    </>
  );
}
