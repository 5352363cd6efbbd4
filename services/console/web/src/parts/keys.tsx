// The keys of the workspace: issue one, which is shown once, and disable one.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Card, Input, Popconfirm, Select, Space, Tag, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { awaitToken, call, type Schemas } from "../api/client";
import { instant } from "../format";
import { word } from "../words";
import { Rows } from "./rows";
import { Shown, useFailureText } from "./states";

type Role = Schemas["ingest.v1.Role"];
const ROLES: Role[] = ["ROLE_SOURCE", "ROLE_READER", "ROLE_SERVICE", "ROLE_ADMIN"];

export function Keys(props: { sources: string[] }) {
  const { t, i18n } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["keys"],
    queryFn: ({ signal }) => call("/api/ingest/ListKeys", {}, signal),
  });
  const disable = useMutation({
    mutationFn: async (key_id: string) =>
      awaitToken((await call("/api/ingest/DisableKey", { key_id })).token),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["keys"] }),
    onError: (error) => void message.error(failure(error)),
  });
  return (
    <Card title={t("keys")} style={{ marginTop: 24 }}>
      <Issue sources={props.sources} />
      <Shown query={query}>
        <Rows
          size="small"
          rowKey={(row) => row.key?.key_id ?? ""}
          pagination={{ hideOnSinglePage: true, pageSize: 20 }}
          dataSource={query.data?.keys ?? []}
          columns={[
            { title: t("key"), render: (_, row) => <code>{row.key?.key_id}</code> },
            { title: t("title"), render: (_, row) => row.key?.title },
            { title: t("role"), render: (_, row) => word(row.key?.role, "ROLE_", i18n.language) },
            { title: t("source"), render: (_, row) => row.key?.source_id },
            {
              title: t("state"),
              render: (_, row) => <Tag>{word(row.state, "KEY_STATE_", i18n.language)}</Tag>,
            },
            {
              title: t("expires"),
              render: (_, row) =>
                row.key?.expires_at_us ? instant(row.key.expires_at_us, i18n.language) : t("never"),
            },
            { title: t("lastUsed"), render: (_, row) => row.last_used_on || t("never") },
            {
              title: t("actions"),
              render: (_, row) =>
                row.state === "KEY_STATE_ACTIVE" && (
                  <Popconfirm
                    title={t("disableKey", { id: row.key?.key_id ?? "" })}
                    onConfirm={() => disable.mutate(row.key?.key_id ?? "")}
                  >
                    <Button size="small">{t("disable")}</Button>
                  </Popconfirm>
                ),
            },
          ]}
        />
      </Shown>
    </Card>
  );
}

function Issue(props: { sources: string[] }) {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [role, setRole] = useState<Role>("ROLE_SOURCE");
  const [source, setSource] = useState<string>();
  const [title, setTitle] = useState("");
  const issue = useMutation({
    mutationFn: () =>
      call("/api/ingest/IssueKey", {
        role,
        title,
        ...(role === "ROLE_SOURCE" ? { source_id: source ?? "" } : {}),
      }),
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["keys"] }),
  });
  return (
    <>
      <Space wrap style={{ marginBottom: 16 }}>
        <Select
          aria-label={t("role")}
          style={{ width: 140 }}
          value={role}
          onChange={setRole}
          options={ROLES.map((each) => ({ value: each, label: word(each, "ROLE_", i18n.language) }))}
        />
        {role === "ROLE_SOURCE" && (
          <Select
            aria-label={t("source")}
            placeholder={t("source")}
            style={{ width: 180 }}
            {...(source ? { value: source } : {})}
            onChange={setSource}
            options={props.sources.map((each) => ({ value: each, label: each }))}
          />
        )}
        <Input
          aria-label={t("title")}
          placeholder={t("title")}
          value={title}
          onChange={(event) => setTitle(event.target.value)}
        />
        <Button
          disabled={role === "ROLE_SOURCE" && !source}
          loading={issue.isPending}
          onClick={() => issue.mutate()}
        >
          {t("issueKey")}
        </Button>
      </Space>
      {issue.error && <Alert type="error" title={failure(issue.error)} />}
      {issue.data && (
        <Alert
          type="success"
          style={{ marginBottom: 16 }}
          title={t("keyShownOnce")}
          description={<Typography.Text copyable>{issue.data.key}</Typography.Text>}
        />
      )}
    </>
  );
}

/** The calls that were refused because of the role of their key. */
export function RefusedCalls() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["refused-calls"],
    queryFn: ({ signal }) => call("/api/ingest/ListRefusedCalls", { page_size: 1_000 }, signal),
  });
  const rows = query.data?.calls ?? [];
  return (
    <Card title={t("refusedCalls")} style={{ marginTop: 24 }}>
      <Shown query={query} empty={rows.length === 0 && t("noRefusedCalls")}>
        <Rows
          size="small"
          rowKey="fact_id"
          pagination={{ hideOnSinglePage: true, pageSize: 20 }}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.recorded_at_us, i18n.language) },
            { title: t("key"), render: (_, row) => <code>{row.call?.key_id}</code> },
            {
              title: t("call"),
              render: (_, row) => row.call?.method?.split("/").slice(-1)[0],
            },
            { title: t("fact"), render: (_, row) => <code>{row.fact_id?.slice(0, 8)}</code> },
          ]}
        />
      </Shown>
    </Card>
  );
}
