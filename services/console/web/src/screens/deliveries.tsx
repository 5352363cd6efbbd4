// The deliveries, by state, destination, cause and time; a dead one can be attempted again.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, DatePicker, Space, Typography } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call, type Schemas } from "../api/client";
import { instant } from "../format";
import { useAddress } from "../parts/address";
import { Choice } from "../parts/choice";
import { More } from "../parts/more";
import { Person, useNames } from "../parts/people";
import { Rows } from "../parts/rows";
import { Shown, useFailureText } from "../parts/states";
import { useTitles } from "../parts/titles";
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
  const [destination, segment, journey] = [useTitles("destination"), useTitles("segment"), useTitles("journey")];
  const [search] = useAddress();
  const state = search.get("state") as State | null;
  const filters = {
    ...(state ? { state } : {}),
    destination_id: search.get("destination") ?? "",
    segment_id: search.get("segment") ?? "",
    journey_id: search.get("journey") ?? "",
    since_us: Number(search.get("since") ?? 0),
    before_us: Number(search.get("before") ?? 0),
  };
  const destinations = useQuery({
    queryKey: ["destinations"],
    queryFn: ({ signal }) => call("/api/activation/ListDestinations", {}, signal),
  });
  const segments = useQuery({
    queryKey: ["segments"],
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
  });
  const journeys = useQuery({
    queryKey: ["journeys"],
    queryFn: ({ signal }) => call("/api/activation/ListJourneys", {}, signal),
  });
  const query = useInfiniteQuery({
    queryKey: ["deliveries", filters],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListDeliveries",
        { ...filters, page_size: PAGE, page_token: pageParam },
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
  const names = useNames(rows.map((row) => row.profile_id ?? ""));
  return (
    <>
      <Typography.Title level={2}>{t("deliveries")}</Typography.Title>
      <Space wrap style={{ marginBottom: 16 }}>
        <Choice
          name="state"
          label={t("state")}
          options={STATES.map((each) => ({ value: each, label: word(each, "DELIVERY_STATE_", i18n.language) }))}
        />
        <Choice
          name="destination"
          label={t("destination")}
          options={(destinations.data?.destinations ?? []).map(({ destination }) => ({
            value: destination?.destination_id ?? "",
            label: destination?.title || (destination?.destination_id ?? ""),
          }))}
        />
        <Choice
          name="segment"
          label={t("segment")}
          options={(segments.data?.segments ?? []).map(({ segment }) => ({
            value: segment?.segment_id ?? "",
            label: segment?.title || (segment?.segment_id ?? ""),
          }))}
        />
        <Choice
          name="journey"
          label={t("journey")}
          options={(journeys.data?.journeys ?? []).map(({ journey }) => ({
            value: journey?.journey_id ?? "",
            label: journey?.title || (journey?.journey_id ?? ""),
          }))}
        />
        <Instant name="since" label={t("sinceTime")} />
        <Instant name="before" label={t("beforeTime")} />
      </Space>
      <Shown query={query} empty={rows.length === 0 && t("noDeliveries")}>
        <Rows
          rowKey="effect_id"
          pagination={false}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.created_at_us, i18n.language) },
            { title: t("destination"), render: (_, row) => destination(row.destination_id) },
            {
              title: t("because"),
              render: (_, row) =>
                row.journey_id ? (
                  <Link to={`/journeys/${row.journey_id}`}>{journey(row.journey_id)}</Link>
                ) : (
                  <Link to={`/segments/${row.segment_id}`}>{segment(row.segment_id)}</Link>
                ),
            },
            {
              title: t("profile"),
              render: (_, row) => <Person id={row.profile_id} name={names.get(row.profile_id ?? "")} />,
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

/** An instant of the address, Unix microseconds. */
function Instant(props: { name: string; label: string }) {
  const [search, set] = useAddress();
  const us = Number(search.get(props.name) ?? 0);
  return (
    <DatePicker
      showTime
      aria-label={props.label}
      placeholder={props.label}
      value={us ? dayjs(us / 1000) : null}
      onChange={(value) => set(props.name, value ? String(value.valueOf() * 1000) : undefined)}
    />
  );
}
