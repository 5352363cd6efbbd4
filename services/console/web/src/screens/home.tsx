// How far each service is behind the log, what it counts, and what waits for a person.
import { useQuery } from "@tanstack/react-query";
import { Card, Col, Row, Statistic, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call, type Schemas } from "../api/client";
import { instant, number } from "../format";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { word } from "../words";

type Status = Schemas["projection.v1.GetStatusResponse"];
const PROJECTIONS = ["identity", "profile", "segment", "activation"] as const;
const REFRESH_MS = 5_000;

async function load(signal: AbortSignal) {
  const [statuses, deliveries] = await Promise.all([
    Promise.all(
      PROJECTIONS.map(async (service) => ({
        service,
        status: (await call(`/api/${service}/GetStatus`, {}, signal)) as Status,
      })),
    ),
    call("/api/activation/CountDeliveries", {}, signal),
  ]);
  return { statuses, deliveries };
}

/** Returns how many facts a service has not folded that another one has. */
function behind(status: Status, ahead: Map<number, number>): number {
  return (status.shards ?? []).reduce(
    (sum, shard) => sum + (ahead.get(shard.shard ?? 0) ?? 0) - (shard.log_offset ?? 0),
    0,
  );
}

/** Returns how far the first service is in each shard. */
function furthest(statuses: { status: Status }[]): Map<number, number> {
  const found = new Map<number, number>();
  for (const { status } of statuses)
    for (const { shard = 0, log_offset = 0 } of status.shards ?? [])
      found.set(shard, Math.max(found.get(shard) ?? 0, log_offset));
  return found;
}

export default function Home() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["home"],
    queryFn: ({ signal }) => load(signal),
    refetchInterval: REFRESH_MS,
  });
  const ahead = furthest(query.data?.statuses ?? []);
  const counts = query.data?.deliveries.counts ?? [];
  const states = [...new Set(counts.map((each) => each.state))];
  return (
    <>
      <Typography.Title level={2}>{t("home")}</Typography.Title>
      <Shown query={query}>
        <Row gutter={[16, 16]}>
          {states.map((state) => (
            <Col key={state} xs={12} md={6}>
              <Card>
                <Link to={`/deliveries?state=${state}`}>
                  <Statistic
                    title={`${t("deliveries")}: ${word(state, "DELIVERY_STATE_", i18n.language)}`}
                    value={counts
                      .filter((each) => each.state === state)
                      .reduce((sum, each) => sum + (each.count ?? 0), 0)}
                  />
                </Link>
              </Card>
            </Col>
          ))}
        </Row>
        <Rows
          style={{ marginTop: 16 }}
          rowKey="service"
          pagination={false}
          dataSource={query.data?.statuses ?? []}
          columns={[
            { title: t("service"), dataIndex: "service" },
            {
              title: t("behind"),
              render: (_, row) => number(behind(row.status, ahead), i18n.language),
            },
            {
              title: t("logTime"),
              render: (_, row) =>
                instant(
                  Math.max(0, ...(row.status.shards ?? []).map((shard) => shard.log_time_us ?? 0)),
                  i18n.language,
                ),
            },
          ]}
        />
      </Shown>
    </>
  );
}
