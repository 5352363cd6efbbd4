// The deliveries, by destination and state; a dead one can be attempted again.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Select, Space, Table, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";

import { call, type Schemas } from "../api/client";
import { instant } from "../format";
import { More } from "../parts/more";
import { Shown, useFailureText } from "../parts/states";
import { word } from "../words";

type State = Schemas["activation.v1.DeliveryState"];
const STATES: State[] = [
  "DELIVERY_STATE_PENDING",
  "DELIVERY_STATE_UNKNOWN",
  "DELIVERY_STATE_DELIVERED",
  "DELIVERY_STATE_DEAD",
  "DELIVERY_STATE_SUPPRESSED",
];
const PAGE = 50;

export default function Deliveries() {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const text = useFailureText();
  const queries = useQueryClient();
  const [search, setSearch] = useSearchParams();
  const state = search.get("state") as State | null;
  const destination = search.get("destination") ?? "";
  const destinations = useQuery({
    queryKey: ["destinations"],
    queryFn: ({ signal }) => call("/api/activation/ListDestinations", {}, signal),
  });
  const query = useInfiniteQuery({
    queryKey: ["deliveries", state, destination],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListDeliveries",
        {
          page_size: PAGE,
          page_token: pageParam,
          ...(state ? { state } : {}),
          ...(destination ? { destination_id: destination } : {}),
        },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const retry = useMutation({
    mutationFn: (effect: string) =>
      call("/api/activation/RetryDelivery", { effect_id: effect }),
    onSuccess: () => {
      void message.success(t("retried"));
      void queries.invalidateQueries({ queryKey: ["deliveries"] });
    },
    onError: (error) => void message.error(text(error)),
  });
  const rows = query.data?.pages.flatMap((page) => page.deliveries) ?? [];
  const choose = (name: string, value: string | undefined) => {
    const next = new URLSearchParams(search);
    if (value) next.set(name, value);
    else next.delete(name);
    setSearch(next, { replace: true });
  };
  return (
    <>
      <Typography.Title level={2}>{t("deliveries")}</Typography.Title>
      <Space wrap style={{ marginBottom: 16 }}>
        <Select
          allowClear
          aria-label={t("state")}
          placeholder={t("state")}
          style={{ width: 180 }}
          value={state ?? undefined}
          onChange={(value) => choose("state", value)}
          options={STATES.map((each) => ({ value: each, label: word(each, "DELIVERY_STATE_", i18n.language) }))}
        />
        <Select
          allowClear
          aria-label={t("destination")}
          placeholder={t("destination")}
          style={{ width: 220 }}
          value={destination || undefined}
          onChange={(value) => choose("destination", value)}
          options={(destinations.data?.destinations ?? []).map((each) => ({
            value: each.destination?.destination_id ?? "",
            label: each.destination?.title || each.destination?.destination_id,
          }))}
        />
      </Space>
      <Shown query={query} empty={rows.length === 0 && t("noDeliveries")}>
        <Table
          rowKey="effect_id"
          pagination={false}
          scroll={{ x: true }}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.created_at_us, i18n.language) },
            { title: t("destination"), dataIndex: "destination_id" },
            { title: t("segment"), dataIndex: "segment_id" },
            {
              title: t("profile"),
              render: (_, row) => (
                <Link to={`/profiles/${row.profile_id}`}>
                  <code>{row.profile_id?.slice(0, 8)}</code>
                </Link>
              ),
            },
            { title: t("state"), render: (_, row) => word(row.state, "DELIVERY_STATE_", i18n.language) },
            { title: t("attempts"), dataIndex: "attempts" },
            { title: t("reason"), dataIndex: "reason" },
            {
              title: t("actions"),
              render: (_, row) =>
                row.state === "DELIVERY_STATE_DEAD" && (
                  <Button
                    loading={retry.isPending && retry.variables === row.effect_id}
                    onClick={() => retry.mutate(row.effect_id ?? "")}
                  >
                    {t("retryDelivery")}
                  </Button>
                ),
            },
          ]}
        />
        <More query={query} />
      </Shown>
    </>
  );
}
