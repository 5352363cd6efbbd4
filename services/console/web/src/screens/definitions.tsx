// The definitions of the workspace as YAML: all of a kind, and one to edit, compare and apply.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Input, Segmented, Space, Table, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import { parse, stringify, YAMLParseError } from "yaml";

import { awaitToken, CallError } from "../api/client";
import { type Definition, KINDS, withRuleForms } from "../parts/definition_kinds";
import { difference } from "../parts/difference";
import { Shown, useFailureText } from "../parts/states";

const NEW = "new";

export default function Definitions() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { kind = "segment", id } = useParams();
  const found = KINDS[kind] ?? KINDS["segment"]!;
  const query = useQuery({
    queryKey: ["definitions", kind],
    queryFn: ({ signal }) => found.list(signal),
  });
  const one = query.data?.find((each) => each.id === id);
  const isEdited = id !== undefined && (id === NEW || one !== undefined);
  return (
    <>
      <Typography.Title level={2}>{t("definitions")}</Typography.Title>
      <Segmented
        aria-label={t("kind")}
        style={{ marginBottom: 16, maxWidth: "100%", overflowX: "auto" }}
        value={kind}
        onChange={(next) => void navigate(`/definitions/${next}`)}
        options={Object.keys(KINDS).map((each) => ({
          value: each,
          label: t(`kind_${each}` as "kind_segment"),
        }))}
      />
      <Shown query={query}>
        {isEdited ? (
          <Editor key={`${kind} ${id}`} kind={kind} definition={one} />
        ) : (
          <List kind={kind} definitions={query.data ?? []} />
        )}
      </Shown>
    </>
  );
}

function List(props: { kind: string; definitions: Definition[] }) {
  const { t } = useTranslation();
  return (
    <>
      {KINDS[props.kind]?.id && (
        <Link to={`/definitions/${props.kind}/${NEW}`}>
          <Button>{t("add")}</Button>
        </Link>
      )}
      <Table
        rowKey="id"
        style={{ marginTop: 16 }}
        pagination={{ hideOnSinglePage: true }}
        scroll={{ x: true }}
        dataSource={props.definitions}
        columns={[
          {
            title: t("id"),
            render: (_, row) => (
              <Link to={`/definitions/${props.kind}/${encodeURIComponent(row.id)}`}>{row.id}</Link>
            ),
          },
          { title: t("title"), dataIndex: "title" },
          { title: t("version"), dataIndex: "version" },
        ]}
      />
    </>
  );
}

function Editor(props: { kind: string; definition: Definition | undefined }) {
  const { t } = useTranslation();
  const { kind, definition } = props;
  const content = definition?.content ?? KINDS[kind]!.first;
  const query = useQuery({
    queryKey: ["yaml", kind, definition?.id, definition?.version],
    queryFn: async () => stringify(await withRuleForms(content, false), { lineWidth: 0 }),
  });
  const [text, setText] = useState("");
  useEffect(() => setText(query.data ?? ""), [query.data]);
  const before = definition ? (query.data ?? "") : "";
  return (
    <Shown query={query}>
      <Input.TextArea
        aria-label={t("definition")}
        rows={20}
        style={{ fontFamily: "monospace" }}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <Apply kind={kind} etag={definition?.etag ?? ""} before={before} text={text} />
    </Shown>
  );
}

function Apply(props: { kind: string; etag: string; before: string; text: string }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { kind, etag, before, text } = props;
  const define = async (dryRun: boolean) => {
    const content = await withRuleForms(parse(text) as object, true);
    return KINDS[kind]!.define(content as never, etag, dryRun);
  };
  const check = useMutation({
    mutationFn: async () => ({ ...(await define(true)), text }),
  });
  const apply = useMutation({
    mutationFn: async () => awaitToken((await define(false)).token),
    onSuccess: async () => {
      void message.success(t("saved"));
      await queries.invalidateQueries();
      void navigate(`/definitions/${kind}`);
    },
  });
  const isChecked = check.data?.text === text;
  const error = apply.error ?? check.error;
  const said = (found: unknown) => {
    if (found instanceof YAMLParseError) return found.message;
    if (found instanceof CallError && found.reason === "ETAG_MISMATCH") return t("changedMeanwhile");
    return failure(found);
  };
  return (
    <>
      <Space style={{ marginTop: 8 }}>
        <Button loading={check.isPending} onClick={() => check.mutate()}>
          {t("difference")}
        </Button>
        <Button
          type="primary"
          disabled={!isChecked || !check.data?.changed}
          loading={apply.isPending}
          onClick={() => apply.mutate()}
        >
          {t("apply")}
        </Button>
      </Space>
      {error && <Alert type="error" style={{ marginTop: 8 }} title={said(error)} />}
      {isChecked && !check.data?.changed && (
        <Alert type="info" style={{ marginTop: 8 }} title={t("nothingChanges")} />
      )}
      {isChecked && check.data?.changed && (
        <pre aria-label={t("difference")} style={{ overflowX: "auto" }}>
          {difference(before, text).map((line, index) => (
            <div key={index} style={{ color: COLOURS[line.sign] }}>
              {line.sign} {line.text}
            </div>
          ))}
        </pre>
      )}
    </>
  );
}

const COLOURS = { "+": "#237804", "-": "#a8071a", " ": "#434343" };
