// Plays a journey over what has happened: without sending anything, what it does and would do.
import { Alert, Button, InputNumber, Segmented, Space, Statistic, Typography } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { type Schemas, stream } from "../../api/client";
import { number } from "../../format";
import { word } from "../../words";
import { Person, useNames } from "../people";
import { Rows } from "../rows";
import { useFailureText } from "../states";

type Journey = Schemas["activation.v1.Journey"];
type Count = Schemas["activation.v1.ReplayCount"];
type Summary = Schemas["activation.v1.ReplaySummary"];
type Tried = Schemas["activation.v1.TryJourneyResponse"];
type Tested = Schemas["activation.v1.BacktestJourneyResponse"];
interface Result {
  persons: number;
  leftOut: number;
  summary: Summary | undefined;
  ahead: Count[];
}
const WAYS = ["try", "known", "happened"] as const;
type Way = (typeof WAYS)[number];
const DAY_US = 86_400_000_000;
const NAMED = 5;
const ROW = { marginTop: 16 };

/** `journey` returns the definition that is played, which may be one that is edited. */
export function Replay(props: { journey: () => Promise<Journey> }) {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const [way, setWay] = useState<Way>("try");
  const [since, setSince] = useState(30);
  const [ahead, setAhead] = useState(7);
  const { result, isRunning, error, run, stop } = useReplay();
  const play = () => run(way, props.journey, Date.now() * 1_000 - since * DAY_US, ahead * DAY_US);
  return (
    <>
      <Space wrap>
        <Segmented
          aria-label={t("replay")}
          value={way}
          onChange={setWay}
          options={WAYS.map((each) => ({ value: each, label: t(`replay_${each}`) }))}
        />
        <Days label={t("daysBack")} value={since} onChange={setSince} />
        {way === "try" && <Days label={t("daysAhead")} value={ahead} onChange={setAhead} />}
        {isRunning ? (
          <Button onClick={stop}>{t("stop")}</Button>
        ) : (
          <Button onClick={play}>{t("play")}</Button>
        )}
      </Space>
      <p>{t(`replayHint_${way}`)}</p>
      {error != null && <Alert type="error" title={failure(error)} />}
      {result && (
        <div role="status">
          {t("replayed", {
            persons: number(result.persons, i18n.language),
            leftOut: number(result.leftOut, i18n.language),
          })}
        </div>
      )}
      {result?.summary && <Sums summary={result.summary} ahead={result.ahead} />}
    </>
  );
}

function Days(props: { label: string; value: number; onChange: (days: number) => void }) {
  return (
    <InputNumber
      aria-label={props.label}
      prefix={props.label}
      min={1}
      max={366}
      precision={0}
      value={props.value}
      onChange={(value) => props.onChange(value ?? 1)}
    />
  );
}

/** Returns what a replay has found so far, and how one begins and ends. */
function useReplay() {
  const [result, setResult] = useState<Result | null>(null);
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const ended = useRef(new AbortController());
  useEffect(() => () => ended.current.abort(), []);
  const run = (
    way: Way,
    read: () => Promise<Journey>,
    from_us: number,
    ahead_us: number,
  ) => {
    const { signal } = (ended.current = new AbortController());
    const basis = way === "known" ? "BACKTEST_BASIS_KNOWN" : "BACKTEST_BASIS_HAPPENED";
    const played = async () => {
      const journey = await read();
      if (way === "try") {
        const body = { journey, since_us: from_us, ahead_us, people: NAMED };
        const onMessage = (message: unknown) => setResult(ofTry(message as Tried));
        await stream("/api/activation/TryJourney", body, signal, onMessage);
      } else {
        const body = { journey, basis, from_us } as const;
        const onMessage = (message: unknown) => setResult(ofTest(message as Tested));
        await stream("/api/activation/BacktestJourney", body, signal, onMessage);
      }
    };
    setResult(null);
    setError(null);
    setRunning(true);
    played()
      .catch((failed: unknown) => {
        if (!signal.aborted) setError(failed);
      })
      .finally(() => setRunning(false));
  };
  return { result, isRunning, error, run, stop: () => ended.current.abort() };
}

function ofTry({ persons = 0, left_out = 0, now, ahead = [] }: Tried): Result {
  return { persons, leftOut: left_out, summary: now, ahead };
}

function ofTest({ persons = 0, left_out = 0, summary }: Tested): Result {
  return { persons, leftOut: left_out, summary, ahead: [] };
}

function Sums(props: { summary: Summary; ahead: Count[] }) {
  const { t, i18n } = useTranslation();
  const { begun = 0, ended = [], open = [], refused = [], effects = [] } = props.summary;
  const all = [...open, ...effects, ...props.ahead].flatMap((each) => each.profile_ids ?? []);
  const names = useNames(all);
  return (
    <>
      <Space wrap size="large" style={ROW}>
        <Statistic title={t("runsBegun")} value={begun} />
        {ended.map((each) => (
          <Statistic
            key={each.reason}
            title={word(each.reason, "RUN_END_", i18n.language)}
            value={each.count ?? 0}
          />
        ))}
        {refused.map((each) => (
          <Statistic
            key={each.reason}
            title={`${t("notBegun")}: ${word(each.reason, "ENTRY_REASON_", i18n.language)}`}
            value={each.count ?? 0}
          />
        ))}
      </Space>
      <Counts title={t("runsOpen")} counts={open} names={names} />
      <Counts title={t("messages")} counts={effects} names={names} />
      <Counts title={t("messagesAhead")} counts={props.ahead} names={names} />
    </>
  );
}

function Counts(props: { title: string; counts: Count[]; names: Map<string, string> }) {
  const { t, i18n } = useTranslation();
  if (props.counts.length === 0) return null;
  const hasDays = props.counts.some((each) => each.day_us);
  return (
    <Rows
      size="small"
      style={ROW}
      rowKey={(row) => `${row.step_id} ${row.day_us}`}
      pagination={{ hideOnSinglePage: true }}
      title={() => <Typography.Text strong>{props.title}</Typography.Text>}
      dataSource={props.counts}
      columns={[
        { title: t("step"), render: (_, row) => row.step_id || t("afterLast") },
        {
          title: t("day"),
          hidden: !hasDays,
          render: (_, row) => new Date((row.day_us ?? 0) / 1000).toISOString().slice(0, 10),
        },
        { title: t("counts"), render: (_, row) => number(row.count, i18n.language) },
        {
          title: t("people"),
          render: (_, row) => (
            <Space wrap>
              {(row.profile_ids ?? []).map((id) => (
                <Person key={id} id={id} name={props.names.get(id)} />
              ))}
            </Space>
          ),
        },
      ]}
    />
  );
}
