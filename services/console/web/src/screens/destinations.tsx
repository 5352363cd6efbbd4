// The destinations: what each subscribes to, and its deliveries by state.
import { useQuery } from "@tanstack/react-query";
import { Button, Space, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../api/client";
import { number } from "../format";
import { Head } from "../parts/head";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { useTitles } from "../parts/titles";
import { word } from "../words";

export default function Destinations() {
  const { t, i18n } = useTranslation();
  const segment = useTitles("segment");
  const query = useQuery({
    queryKey: ["destinations", "counts"],
    queryFn: async ({ signal }) => {
      const [destinations, counts] = await Promise.all([
        call("/api/activation/ListDestinations", {}, signal),
        call("/api/activation/CountDeliveries", {}, signal),
      ]);
      return destinations.destinations.map(({ destination }) => ({
        ...destination,
        id: destination?.destination_id ?? "",
        counts: counts.counts.filter((each) => each.destination_id === destination?.destination_id),
      }));
    },
  });
  return (
    <>
      <Head>
        <Typography.Title level={2}>{t("destinations")}</Typography.Title>
        <Link to="/definitions/destination/new">
          <Button>{t("newDestination")}</Button>
        </Link>
      </Head>
      <Shown query={query} empty={query.data?.length === 0 && t("noDestinations")}>
        <Rows
          rowKey="id"
          pagination={{ hideOnSinglePage: true }}
          dataSource={query.data ?? []}
          columns={[
            {
              title: t("destination"),
              render: (_, row) => (
                <Link to={`/definitions/destination/${row.id}`}>{row.title || row.id}</Link>
              ),
            },
            { title: t("segments"), render: (_, row) => (row.segment_ids ?? []).map(segment).join(", ") },
            {
              title: t("when"),
              render: (_, row) =>
                (row.triggers ?? []).map((each) => word(each, "TRIGGER_", i18n.language)).join(", "),
            },
            {
              title: t("deliveries"),
              render: (_, row) => (
                <Space wrap>
                  {row.counts.map((each) => (
                    <Link
                      key={each.state}
                      to={`/deliveries?destination=${row.id}&state=${each.state}`}
                    >
                      <Tag>
                        {word(each.state, "DELIVERY_STATE_", i18n.language)}:{" "}
                        {number(each.count, i18n.language)}
                      </Tag>
                    </Link>
                  ))}
                </Space>
              ),
            },
            { title: t("version"), dataIndex: "version" },
          ]}
        />
      </Shown>
    </>
  );
}
