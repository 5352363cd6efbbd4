// The events that could not be admitted: why, and their repair.
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Input, Modal, Table, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { call, type Schemas } from "../api/client";
import { instant } from "../format";
import { DraftState, useDraft } from "../parts/draft";
import { More } from "../parts/more";
import { Shown, useFailureText } from "../parts/states";
import { word } from "../words";

type Entry = Schemas["ingest.v1.Quarantined"];
const PAGE = 50;

export default function Quarantine() {
  const { t, i18n } = useTranslation();
  const [repaired, setRepaired] = useState<Entry | null>(null);
  const query = useInfiniteQuery({
    queryKey: ["quarantine"],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call("/api/ingest/ListQuarantined", { page_size: PAGE, page_token: pageParam }, signal),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <>
      <Typography.Title level={2}>{t("quarantine")}</Typography.Title>
      <Shown query={query} empty={rows.length === 0 && t("noQuarantined")}>
        <Table
          rowKey="quarantine_id"
          pagination={false}
          scroll={{ x: true }}
          dataSource={rows}
          columns={[
            { title: t("received"), render: (_, row) => instant(row.received_at_us, i18n.language) },
            { title: t("source"), dataIndex: "source_id" },
            { title: t("reason"), render: (_, row) => word(row.reason, "ERROR_REASON_", i18n.language) },
            { title: "", dataIndex: "message" },
            {
              title: t("actions"),
              render: (_, row) => <Button onClick={() => setRepaired(row)}>{t("repair")}</Button>,
            },
          ]}
        />
        <More query={query} />
      </Shown>
      {repaired && <Repair entry={repaired} onEnd={() => setRepaired(null)} />}
    </>
  );
}

/** Reads the bytes that were received (base64) as a text. */
function rawText(raw: string): string {
  try {
    const bytes = Uint8Array.from(atob(raw), (letter) => letter.charCodeAt(0));
    const text = new TextDecoder().decode(bytes);
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return raw;
  }
}

function Repair(props: { entry: Entry; onEnd: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const failure = useFailureText();
  const received = { content: rawText(props.entry.raw ?? ""), etag: "" };
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
