// The journeys, whether each is running, and how many of its runs go on.
import { useQuery } from "@tanstack/react-query";
import { Button, Checkbox, Space, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call, type Schemas } from "../api/client";
import { useAddress } from "../parts/address";
import { Choice } from "../parts/choice";
import { Head } from "../parts/head";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { word } from "../words";

const FLOWS: Schemas["activation.v1.Flow"][] = ["FLOW_OPEN", "FLOW_PAUSED", "FLOW_STOPPED"];

export default function Journeys() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["journeys"],
    queryFn: ({ signal }) => call("/api/activation/ListJourneys", {}, signal),
  });
  const [search, set] = useAddress();
  const flow = search.get("state");
  const rows = (query.data?.journeys ?? [])
    .filter((each) => search.has("retired") || !each.journey?.retired)
    .filter((each) => !flow || each.flow === flow);
  return (
    <>
      <Head>
        <Typography.Title level={2}>{t("journeys")}</Typography.Title>
        <Link to="/definitions/journey/new">
          <Button>{t("newJourney")}</Button>
        </Link>
      </Head>
      <Space wrap style={{ marginBottom: 16 }}>
        <Choice
          name="state"
          label={t("state")}
          options={FLOWS.map((each) => ({ value: each, label: word(each, "FLOW_", i18n.language) }))}
        />
        <Checkbox
          checked={search.has("retired")}
          onChange={(event) => set("retired", event.target.checked ? "1" : undefined)}
        >
          {t("retired")}
        </Checkbox>
      </Space>
      <Shown query={query} empty={rows.length === 0 && t("noJourneys")}>
        <Rows
          rowKey={(row) => row.journey?.journey_id ?? ""}
          pagination={{ hideOnSinglePage: true }}
          dataSource={rows}
          columns={[
            {
              title: t("journey"),
              render: (_, row) => (
                <Link to={`/journeys/${row.journey?.journey_id}`}>
                  {row.journey?.title || row.journey?.journey_id}
                </Link>
              ),
            },
            {
              title: t("state"),
              render: (_, row) => <Tag>{word(row.flow, "FLOW_", i18n.language)}</Tag>,
            },
            { title: t("steps"), render: (_, row) => row.journey?.steps?.length ?? 0 },
            { title: t("version"), render: (_, row) => row.journey?.version },
          ]}
        />
      </Shown>
    </>
  );
}
