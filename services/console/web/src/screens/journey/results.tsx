// What became of the messages of a journey, and how many reached a goal beside those held out.
import { useQuery } from "@tanstack/react-query";
import { Card } from "antd";
import { useTranslation } from "react-i18next";

import { call, type Schemas } from "../../api/client";
import { number } from "../../format";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";

type Group = Schemas["activation.v1.JourneyGroupResult"];
type Step = Schemas["activation.v1.JourneyStepResult"];
const COUNTS = [
  "sent",
  "delivered",
  "undelivered",
  "suppressed",
  "opened",
  "clicked",
  "replied",
  "complained",
  "unsubscribed",
] as const satisfies (keyof Step)[];
const TABLE = { size: "small", pagination: false, scroll: { x: true } } as const;

export function Results(props: { id: string }) {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["journey-results", props.id],
    queryFn: ({ signal }) => call("/api/activation/GetJourneyResults", { journey_id: props.id }, signal),
  });
  const { steps = [], groups = [] } = query.data ?? {};
  return (
    <Card title={t("results")} style={{ marginTop: 16 }}>
      <Shown query={query} empty={groups.every((each) => !each.runs) && t("noResults")}>
        <Rows
          {...TABLE}
          rowKey={(row) => `${row.step_id} ${row.arm} ${row.held_out}`}
          dataSource={groups}
          columns={[
            { title: t("step"), render: (_, row) => row.step_id || t("journey") },
            { title: t("arm"), render: (_, row) => armOf(row, t("others")) },
            { title: t("runs"), render: (_, row) => number(row.runs, i18n.language) },
            { title: t("converted"), render: (_, row) => number(row.converted, i18n.language) },
            { title: t("uplift"), render: (_, row) => uplift(row) },
          ]}
        />
        {steps.length > 0 && (
          <Rows
            {...TABLE}
            style={{ marginTop: 16 }}
            rowKey={(row) => row.step_id ?? ""}
            dataSource={steps}
            columns={[
              { title: t("step"), dataIndex: "step_id" },
              ...COUNTS.map((each) => ({
                title: t(`sent_${each}`),
                render: (_: unknown, row: Step) => number(row[each], i18n.language),
              })),
            ]}
          />
        )}
      </Shown>
    </Card>
  );
}

function armOf(group: Group, others: string): string {
  return group.arm || others;
}

/** How much greater the share of the converted is than that of those held out, in points. */
function uplift(group: Group): string {
  if (group.difference === undefined || group.difference === null) return "";
  const points = (value: number) => `${(value * 100).toFixed(1)} %`;
  return `${points(group.difference)} ± ${points(group.margin ?? 0)}`;
}
