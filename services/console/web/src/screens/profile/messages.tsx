// What was sent to a person.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Card } from "antd";
import { useTranslation } from "react-i18next";

import { call } from "../../api/client";
import { instant } from "../../format";
import { More } from "../../parts/more";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";
import { useTitles } from "../../parts/titles";
import { word } from "../../words";

export function Messages(props: { id: string }) {
  const { t, i18n } = useTranslation();
  const [destination, segment, journey] = [useTitles("destination"), useTitles("segment"), useTitles("journey")];
  const query = useInfiniteQuery({
    queryKey: ["deliveries", "of", props.id],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListDeliveries",
        { profile_id: props.id, page_size: 10, page_token: pageParam },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.deliveries) ?? [];
  return (
    <Card title={t("messages")} style={{ marginTop: 16 }}>
      <Shown query={query} empty={rows.length === 0 && t("noDeliveries")}>
        <Rows
          size="small"
          rowKey="effect_id"
          pagination={false}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.created_at_us, i18n.language) },
            { title: t("destination"), render: (_, row) => destination(row.destination_id) },
            {
              title: t("because"),
              render: (_, row) => (row.journey_id ? journey(row.journey_id) : segment(row.segment_id)),
            },
            {
              title: t("state"),
              render: (_, row) => word(row.state, "DELIVERY_STATE_", i18n.language),
            },
            { title: t("reason"), dataIndex: "reason" },
          ]}
        />
        <More query={query} />
      </Shown>
    </Card>
  );
}
