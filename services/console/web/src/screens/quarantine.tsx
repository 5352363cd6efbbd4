// The events that could not be admitted: why, and their repair.
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Checkbox, Input, Modal, Space, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { call, type Schemas } from "../api/client";
import { instant, number } from "../format";
import { useAddress } from "../parts/address";
import { DraftState, useDraft } from "../parts/draft";
import { More } from "../parts/more";
import { Rows } from "../parts/rows";
import { useSelection } from "../parts/selection";
import { Shown, useFailureText } from "../parts/states";
import { word } from "../words";

type Entry = Schemas["ingest.v1.Quarantined"];
const PAGE = 50;

export default function Quarantine() {
  const { t, i18n } = useTranslation();
  const [repaired, setRepaired] = useState<Entry | null>(null);
  const [chosen, setChosen] = useSelection();
  const [together, setTogether] = useState<Entry[] | null>(null);
  const [search, set] = useAddress();
  const query = useInfiniteQuery({
    queryKey: ["quarantine", search.has("released")],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/ingest/ListQuarantined",
        {
          page_size: PAGE,
          page_token: pageParam,
          include_released: search.has("released"),
        },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.entries) ?? [];
  // One that another person has released meanwhile is not repaired again.
  const selected = rows.filter(
    (row) => chosen.includes(row.quarantine_id ?? "") && !row.released_fact_id,
  );
  return (
    <>
      <Typography.Title level={2}>{t("quarantine")}</Typography.Title>
      <Space wrap style={{ marginBottom: 16 }}>
        <Checkbox
          checked={search.has("released")}
          onChange={(event) => set("released", event.target.checked ? "1" : undefined)}
        >
          {t("alsoReleased")}
        </Checkbox>
        <Button
          disabled={selected.length === 0}
          onClick={() => setTogether(selected)}
        >
          {t("repairTogether", { count: selected.length })}
        </Button>
      </Space>
      <Shown query={query} empty={rows.length === 0 && t("noQuarantined")}>
        <Rows
          rowSelection={{
            selectedRowKeys: chosen,
            onChange: (keys) => setChosen(keys.map(String)),
            getCheckboxProps: (row) => ({
              disabled: !row.event || Boolean(row.released_fact_id),
              "aria-label": `${t("repair")} ${row.quarantine_id ?? ""}`,
            }),
            getTitleCheckboxProps: () => ({ "aria-label": t("all") }),
          }}
          rowKey="quarantine_id"
          pagination={false}
          dataSource={rows}
          columns={[
            { title: t("received"), render: (_, row) => instant(row.received_at_us, i18n.language) },
            { title: t("source"), dataIndex: "source_id" },
            { title: t("reason"), render: (_, row) => word(row.reason, "ERROR_REASON_", i18n.language) },
            { title: "", dataIndex: "message" },
            {
              title: t("actions"),
              render: (_, row) =>
                row.released_fact_id ? (
                  t("wasReleased")
                ) : (
                  <Button onClick={() => setRepaired(row)}>{t("repair")}</Button>
                ),
            },
          ]}
        />
        <More query={query} />
      </Shown>
      {repaired && <Repair entry={repaired} onEnd={() => setRepaired(null)} />}
      {together && (
        <RepairTogether
          entries={together}
          onEnd={() => {
            setTogether(null);
            setChosen([]);
          }}
        />
      )}
    </>
  );
}

/** Writes the event as far as it can be read, else the bytes that were received (base64). */
function textOf({ event, raw = "" }: Entry): string {
  if (event) return JSON.stringify(stated(event), null, 2);
  try {
    const bytes = Uint8Array.from(atob(raw), (letter) => letter.charCodeAt(0));
    const text = new TextDecoder().decode(bytes);
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return raw;
  }
}

/** Returns the members of an event that state something. */
function stated(event: object): object {
  return Object.fromEntries(
    Object.entries(event).filter(
      ([, value]) => value && !(Array.isArray(value) && value.length === 0) && !isNotSet(value),
    ),
  );
}

function isNotSet(value: unknown): boolean {
  return typeof value === "string" && value.endsWith("_UNSPECIFIED");
}

function Repair(props: { entry: Entry; onEnd: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const failure = useFailureText();
  const received = { content: textOf(props.entry), etag: "" };
  const draft = useDraft(`quarantined ${props.entry.quarantine_id ?? ""}`, received);
  const text = draft.content ?? "";
  const release = useMutation({
    mutationFn: (body: string) => {
      const event = JSON.parse(body) as Schemas["type.v1.Event"];
      return call("/api/ingest/ReleaseQuarantined", {
        quarantine_id: props.entry.quarantine_id ?? "",
        event,
      });
    },
    onSuccess: () => {
      void message.success(t("released"));
      draft.discard();
      void queries.invalidateQueries({ queryKey: ["quarantine"] });
      props.onEnd();
    },
  });
  return (
    <Modal
      open
      width={720}
      title={t("repair")}
      okText={t("release")}
      confirmLoading={release.isPending}
      onOk={() => release.mutate(text)}
      onCancel={props.onEnd}
    >
      <p>{props.entry.message}</p>
      <DraftState draft={draft} />
      <label htmlFor="repaired-event">{t("repairHint")}</label>
      <Input.TextArea
        id="repaired-event"
        rows={16}
        value={text}
        style={{ fontFamily: "monospace" }}
        onChange={(event) => draft.edit(event.target.value)}
      />
      {release.error && (
        <Alert
          type="error"
          style={{ marginTop: 8 }}
          title={release.error instanceof SyntaxError ? t("notJson") : failure(release.error)}
        />
      )}
    </Modal>
  );
}

/** One change for many events: what it states replaces a member, and null removes it. */
function RepairTogether(props: { entries: Entry[]; onEnd: () => void }) {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [text, setText] = useState("{}");
  const [done, setDone] = useState(0);
  const [failed, setFailed] = useState<string[]>([]);
  const release = useMutation({
    mutationFn: async () => {
      const change = JSON.parse(text) as unknown;
      const problems: string[] = [];
      setDone(0);
      for (const { quarantine_id = "", event = {} } of props.entries) {
        try {
          await call("/api/ingest/ReleaseQuarantined", {
            quarantine_id,
            event: merged(stated(event), change) as Schemas["type.v1.Event"],
          });
        } catch (error) {
          problems.push(`${quarantine_id.slice(0, 8)}: ${failure(error)}`);
        }
        setDone((number) => number + 1);
      }
      setFailed(problems);
      await queries.invalidateQueries({ queryKey: ["quarantine"] });
      if (problems.length === 0) props.onEnd();
    },
  });
  const first = stated(props.entries[0]?.event ?? {});
  let after: unknown = null;
  try {
    after = merged(first, JSON.parse(text));
  } catch {
    // What is entered is not whole yet.
  }
  return (
    <Modal
      open
      width={720}
      title={t("repairTogether", { count: props.entries.length })}
      okText={t("release")}
      okButtonProps={{ disabled: after === null }}
      confirmLoading={release.isPending}
      onOk={() => release.mutate()}
      onCancel={props.onEnd}
    >
      <label htmlFor="change-of-events">{t("changeHint")}</label>
      <Input.TextArea
        id="change-of-events"
        rows={5}
        value={text}
        style={{ fontFamily: "monospace" }}
        onChange={(event) => setText(event.target.value)}
      />
      {after === null ? (
        <Alert type="warning" style={{ marginTop: 8 }} title={t("notJson")} />
      ) : (
        <>
          <p>{t("firstBecomes")}</p>
          <pre style={{ overflowX: "auto", maxHeight: 240 }}>{JSON.stringify(after, null, 2)}</pre>
        </>
      )}
      {release.isPending && (
        <div role="status">
          {number(done, i18n.language)} / {number(props.entries.length, i18n.language)}
        </div>
      )}
      {failed.map((each) => (
        <Alert key={each} type="error" style={{ marginTop: 8 }} title={each} />
      ))}
    </Modal>
  );
}

/** Merges a change into a value, as RFC 7396 has it: null removes a member. */
function merged(value: unknown, change: unknown): unknown {
  if (!isObject(change)) return change;
  const result: Record<string, unknown> = isObject(value) ? { ...value } : {};
  for (const [name, part] of Object.entries(change))
    if (part === null) delete result[name];
    else result[name] = merged(result[name], part);
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
