// The runs of a journey or of a person by state, and the trace of one of them.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Alert, Button, Card, Drawer } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call, type Schemas } from "../../api/client";
import { instant } from "../../format";
import { word } from "../../words";
import { useAddress } from "../address";
import { Choice } from "../choice";
import { More } from "../more";
import { Rows } from "../rows";
import { Shown } from "../states";
import { useTitles } from "../titles";

type State = Schemas["activation.v1.RunState"];
const STATES: State[] = ["RUN_STATE_OPEN", "RUN_STATE_ASLEEP", "RUN_STATE_ENDED"];
const PAGE = 50;
const BELOW = { marginTop: 16 };

/** Of a journey, of a person, or of both. */
export function Runs(props: { journey?: string; profile?: string }) {
  const { t, i18n } = useTranslation();
  const [search, set] = useAddress();
  const run = search.get("run");
  const title = useTitles("journey");
  const filters = {
    journey_id: props.journey ?? "",
    ...(props.profile ? { profile_id: props.profile } : {}),
    ...(search.has("runs") ? { state: search.get("runs") as State } : {}),
  };
  const query = useInfiniteQuery({
    queryKey: ["runs", filters],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListRuns",
        { ...filters, page_size: PAGE, page_token: pageParam },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.runs) ?? [];
  return (
    <Card
      title={t("runs")}
      style={BELOW}
      extra={
        <Choice
          name="runs"
          label={t("state")}
          options={STATES.map((each) => ({
            value: each,
            label: word(each, "RUN_STATE_", i18n.language),
          }))}
        />
      }
    >
      <Shown query={query} empty={rows.length === 0 && t(props.journey ? "noRuns" : "noRunsOfPerson")}>
        <Rows
          size="small"
          rowKey="run_id"
          pagination={false}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.begun_at_us, i18n.language) },
            {
              title: t("journey"),
              hidden: props.journey !== undefined,
              render: (_, row) => <Link to={`/journeys/${row.journey_id}`}>{title(row.journey_id)}</Link>,
            },
            {
              title: t("profile"),
              hidden: props.profile !== undefined,
              render: (_, row) => (
                <Link to={`/profiles?q=${row.leaf_id}`}>{row.leaf_id?.slice(0, 8)}</Link>
              ),
            },
            { title: t("state"), render: (_, row) => stateOf(row, i18n.language) },
            { title: t("step"), dataIndex: "step_id" },
            { title: t("due"), render: (_, row) => instant(row.due_us, i18n.language) },
            {
              title: t("actions"),
              render: (_, row) => (
                <Button size="small" onClick={() => set("run", row.run_id)}>
                  {t("trace")}
                </Button>
              ),
            },
          ]}
        />
        <More query={query} />
      </Shown>
      <Drawer open={run !== null} size="large" title={t("trace")} onClose={() => set("run", undefined)}>
        {run && <Trace id={run} />}
      </Drawer>
    </Card>
  );
}

function stateOf(run: Schemas["activation.v1.JourneyRun"], language: string): string {
  return run.state === "RUN_STATE_ENDED"
    ? word(run.end_reason, "RUN_END_", language)
    : word(run.state, "RUN_STATE_", language);
}

/** What one run has done, and what became of its effects. */
function Trace(props: { id: string }) {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["run", props.id],
    queryFn: ({ signal }) => call("/api/activation/GetRun", { run_id: props.id }, signal),
  });
  const { transitions = [], effects = [] } = query.data ?? {};
  return (
    <Shown query={query}>
      {query.data?.run && <Alert type="info" title={stateOf(query.data.run, i18n.language)} />}
      <Rows
        size="small"
        style={BELOW}
        rowKey={(row) => JSON.stringify(row)}
        pagination={false}
        dataSource={effects}
        columns={[
          { title: t("time"), render: (_, row) => instant(row.at_us, i18n.language) },
          { title: t("step"), dataIndex: "step_id" },
          { title: t("destination"), dataIndex: "destination_id" },
          { title: t("state"), render: (_, row) => word(row.state, "DELIVERY_STATE_", i18n.language) },
          { title: t("reason"), dataIndex: "reason" },
        ]}
      />
      <Rows
        size="small"
        style={BELOW}
        rowKey={(row) => row.number ?? 0}
        pagination={false}
        dataSource={transitions}
        columns={[
          { title: t("time"), render: (_, row) => instant(row.known_at_us, i18n.language) },
          {
            title: t("change"),
            render: (_, row) => {
              const [change, content] = changeOf(row);
              return (
                <details>
                  <summary>{t(`run_${change}` as "run_began")}</summary>
                  <pre style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
                    {JSON.stringify(content, null, 2)}
                  </pre>
                </details>
              );
            },
          },
        ]}
      />
    </Shown>
  );
}

const CHANGES = [
  "began",
  "restarted",
  "answered",
  "planned",
  "withdrawn",
  "moved",
  "ended",
  "reopened",
] as const;

/** Returns what has changed in a run, and the content of the change. */
function changeOf(row: Schemas["activation.v1.RunTransitioned"]): [string, unknown] {
  const change = CHANGES.find((each) => row[each] !== undefined) ?? "began";
  return [change, row[change]];
}
