// One journey: its tree with the people at each step, its runs, and the trace of one of them.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Card, Drawer, Flex, Popconfirm, Space, Statistic, Table, Tag, Typography } from "antd";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams, useSearchParams } from "react-router";

import { awaitToken, call, type Schemas } from "../api/client";
import { instant, number } from "../format";
import { JourneyCanvas } from "../parts/journey/canvas";
import { type Box, layoutOf } from "../parts/journey/layout";
import { More } from "../parts/more";
import { Shown, useFailureText } from "../parts/states";
import { word } from "../words";

type Flow = Schemas["activation.v1.Flow"];
type Journey = Schemas["activation.v1.Journey"];
type Summary = Schemas["activation.v1.SummarizeJourneyResponse"];
const REFRESH_MS = 5_000;
const PAGE = 50;
const BELOW = { marginTop: 16 };

export default function JourneyView() {
  const { t } = useTranslation();
  const id = useParams()["id"] ?? "";
  const journey = useQuery({
    queryKey: ["journey", id],
    queryFn: ({ signal }) => call("/api/activation/GetJourney", { journey_id: id }, signal),
  });
  const summary = useQuery({
    queryKey: ["journey-summary", id],
    refetchInterval: REFRESH_MS,
    queryFn: ({ signal }) => call("/api/activation/SummarizeJourney", { journey_id: id }, signal),
  });
  const found = journey.data?.journey;
  return (
    <>
      <Flex justify="space-between" align="center" wrap gap="small">
        <Typography.Title level={2}>{found?.title || id}</Typography.Title>
        <Space>
          {journey.data && <FlowButtons id={id} flow={journey.data.flow} />}
          <Link to={`/definitions/journey/${encodeURIComponent(id)}`}>
            <Button>{t("edit")}</Button>
          </Link>
        </Space>
      </Flex>
      <Shown query={journey}>
        <Shown query={summary}>
          <Counts summary={summary.data ?? {}} />
        </Shown>
        {found && <Tree journey={found} summary={summary.data ?? {}} />}
        <Runs id={id} />
      </Shown>
    </>
  );
}

function FlowButtons(props: { id: string; flow: Flow }) {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const set = useMutation({
    mutationFn: async (flow: Flow) => {
      const { token } = await call("/api/activation/SetJourneyFlow", {
        journey_id: props.id,
        flow,
        ...(flow === "FLOW_OPEN" ? { overdue: "OVERDUE_SEND" as const } : {}),
      });
      await awaitToken(token);
    },
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["journey", props.id] }),
    onError: (error) => void message.error(failure(error)),
  });
  const isOpen = props.flow === "FLOW_OPEN";
  return (
    <Space>
      <Tag>{word(props.flow, "FLOW_", i18n.language)}</Tag>
      <Popconfirm
        title={t(isOpen ? "pauseJourney" : "resumeJourney")}
        onConfirm={() => set.mutate(isOpen ? "FLOW_PAUSED" : "FLOW_OPEN")}
      >
        <Button loading={set.isPending}>{t(isOpen ? "pause" : "resume")}</Button>
      </Popconfirm>
    </Space>
  );
}

function Counts(props: { summary: Summary }) {
  const { t, i18n } = useTranslation();
  const { begun = 0, open = 0, asleep = 0, ended = [] } = props.summary;
  return (
    <Space wrap size="large">
      <Statistic title={t("runsBegun")} value={begun} />
      <Statistic title={t("runsOpen")} value={open} />
      {asleep > 0 && <Statistic title={t("runsAsleep")} value={asleep} />}
      {ended.map((each) => (
        <Statistic
          key={each.reason}
          title={word(each.reason, "RUN_END_", i18n.language)}
          value={each.count ?? 0}
        />
      ))}
    </Space>
  );
}

function Tree(props: { journey: Journey; summary: Summary }) {
  const { t, i18n } = useTranslation();
  const [chosen, setChosen] = useState<Box | null>(null);
  const { journey, summary } = props;
  const layout = useMemo(() => {
    const [kind = ""] = Object.keys(journey.entry?.by ?? {});
    return layoutOf(kind, journey.entry, journey.steps ?? []);
  }, [journey]);
  const counts = new Map((summary.steps ?? []).map((step) => [step.step_id, step]));
  const countOf = (box: Box) => {
    const found = box.id ? counts.get(box.id) : undefined;
    if (!found) return "";
    const effects = (found.effects ?? []).reduce((sum, each) => sum + (each.count ?? 0), 0);
    return [found.open ? `${number(found.open, i18n.language)} ●` : "", effects ? `${number(effects, i18n.language)} →` : ""]
      .filter(Boolean)
      .join(" ");
  };
  const effects = counts.get(chosen?.id ?? "")?.effects ?? [];
  return (
    <Card title={t("journey")} style={BELOW}>
      <JourneyCanvas layout={layout} chosen={chosen} onChoose={setChosen} countOf={countOf} />
      {chosen && (
        <Card size="small" style={BELOW} title={`${t(`step_${chosen.kind}` as "step_send")} ${chosen.id}`}>
          <Space wrap>
            {effects.map((each) => (
              <Tag key={each.state}>
                {word(each.state, "DELIVERY_STATE_", i18n.language)}: {number(each.count, i18n.language)}
              </Tag>
            ))}
          </Space>
          <pre style={{ overflowX: "auto" }}>{JSON.stringify(chosen.content, null, 2)}</pre>
        </Card>
      )}
    </Card>
  );
}

function Runs(props: { id: string }) {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const run = search.get("run");
  const query = useInfiniteQuery({
    queryKey: ["runs", props.id],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListRuns",
        { journey_id: props.id, page_size: PAGE, page_token: pageParam },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.runs) ?? [];
  return (
    <Card title={t("runs")} style={BELOW}>
      <Shown query={query} empty={rows.length === 0 && t("noRuns")}>
        <Table
          size="small"
          rowKey="run_id"
          pagination={false}
          scroll={{ x: true }}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.begun_at_us, i18n.language) },
            { title: t("profile"), render: (_, row) => <Link to={`/profiles?q=${row.leaf_id}`}>{row.leaf_id?.slice(0, 8)}</Link> },
            { title: t("state"), render: (_, row) => stateOf(row, i18n.language) },
            { title: t("step"), dataIndex: "step_id" },
            { title: t("due"), render: (_, row) => instant(row.due_us, i18n.language) },
            {
              title: t("actions"),
              render: (_, row) => (
                <Button size="small" onClick={() => setSearch({ run: row.run_id ?? "" })}>
                  {t("trace")}
                </Button>
              ),
            },
          ]}
        />
        <More query={query} />
      </Shown>
      <Drawer open={run !== null} size="large" title={t("trace")} onClose={() => setSearch({})}>
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
      <Table
        size="small"
        style={BELOW}
        rowKey={(row) => JSON.stringify(row)}
        pagination={false}
        scroll={{ x: true }}
        dataSource={effects}
        columns={[
          { title: t("time"), render: (_, row) => instant(row.at_us, i18n.language) },
          { title: t("step"), dataIndex: "step_id" },
          { title: t("destination"), dataIndex: "destination_id" },
          { title: t("state"), render: (_, row) => word(row.state, "DELIVERY_STATE_", i18n.language) },
          { title: t("reason"), dataIndex: "reason" },
        ]}
      />
      <Table
        size="small"
        style={BELOW}
        rowKey={(row) => row.number ?? 0}
        pagination={false}
        scroll={{ x: true }}
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
