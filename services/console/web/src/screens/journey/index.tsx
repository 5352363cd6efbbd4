// One journey: its tree with the people at each step, what its messages achieve, and its runs.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Card, Popconfirm, Space, Statistic, Tag, Typography } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";

import { awaitToken, call, type Schemas } from "../../api/client";
import { number } from "../../format";
import { Head } from "../../parts/head";
import { JourneyCanvas } from "../../parts/journey/canvas";
import { type Box, layoutOf } from "../../parts/journey/layout";
import { Replay } from "../../parts/journey/replay";
import { Runs } from "../../parts/journey/runs";
import { useSelection } from "../../parts/selection";
import { Shown, useFailureText } from "../../parts/states";
import { word } from "../../words";
import { Results } from "./results";

type Flow = Schemas["activation.v1.Flow"];
type Journey = Schemas["activation.v1.Journey"];
type Summary = Schemas["activation.v1.SummarizeJourneyResponse"];
const REFRESH_MS = 5_000;
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
      <Head>
        <Typography.Title level={2}>{found?.title || id}</Typography.Title>
        <Space>
          {journey.data && <FlowButtons id={id} flow={journey.data.flow} />}
          <Link to={`/definitions/journey/${encodeURIComponent(id)}`}>
            <Button>{t("edit")}</Button>
          </Link>
        </Space>
      </Head>
      <Shown query={journey}>
        <Shown query={summary}>
          <Counts summary={summary.data ?? {}} />
        </Shown>
        {found && <Tree journey={found} summary={summary.data ?? {}} />}
        <Results id={id} />
        {found && (
          <Card title={t("replay")} style={BELOW}>
            <Replay journey={() => Promise.resolve(found)} />
          </Card>
        )}
        <Runs journey={id} />
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
  const [selected, select] = useSelection();
  const { journey, summary } = props;
  const layout = useMemo(() => {
    const [kind = ""] = Object.keys(journey.entry?.by ?? {});
    const entry = word(`ENTRY_${kind.toUpperCase()}`, "ENTRY_", i18n.language);
    return layoutOf(entry, journey.entry, journey.steps ?? [], i18n.language);
  }, [journey, i18n.language]);
  const chosen = layout.boxes[Number(selected[0] ?? NaN)] ?? null;
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
      <JourneyCanvas layout={layout} chosen={chosen} onChoose={(box) => select([String(layout.boxes.indexOf(box))])} countOf={countOf} />
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
