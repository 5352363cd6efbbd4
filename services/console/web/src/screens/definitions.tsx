// The definitions of the workspace as YAML: all of a kind, and one to edit, compare and apply.
import { useMutation, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { Alert, App, Button, Card, Empty, Input, Radio, Space, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import { parse, stringify, YAMLParseError } from "yaml";

import { awaitToken, type Schemas } from "../api/client";
import { GREEN, RED, TEXT } from "../parts/colours";
import { type Definition, type Kind, KINDS } from "../parts/definition_kinds";
import { difference } from "../parts/difference";
import { type Draft, DraftState, isStale, LOOK_MS, useDraft, useSaveFailureText } from "../parts/draft";
import { PeopleInside } from "../parts/journey/people_inside";
import { Replay } from "../parts/journey/replay";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";

const NEW = "new";

/** The etag of what is not defined yet. */
const NOT_DEFINED = "0";

export default function Definitions() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { kind = "segment", id } = useParams();
  const found = KINDS[kind] ?? KINDS["segment"]!;
  const query = useQuery({
    queryKey: ["definitions", kind],
    refetchInterval: id === undefined ? false : LOOK_MS,
    queryFn: ({ signal }) => found.list(signal),
  });
  return (
    <>
      <Typography.Title level={2}>{t("definitions")}</Typography.Title>
      <Radio.Group
        aria-label={t("kind")}
        optionType="button"
        style={{ marginBottom: 16 }}
        value={kind}
        onChange={(event) => void navigate(`/definitions/${String(event.target.value)}`)}
        options={Object.keys(KINDS).map((each) => ({
          value: each,
          label: t(`kind_${each}` as "kind_segment"),
        }))}
      />
      {id === undefined ? (
        <Shown query={query}>
          <List kind={kind} definitions={query.data ?? []} />
        </Shown>
      ) : (
        <Editor key={`${kind} ${id}`} kind={kind} id={id} listed={query} />
      )}
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
      <Rows
        rowKey="id"
        style={{ marginTop: 16 }}
        pagination={{ hideOnSinglePage: true }}
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

function Editor(props: {
  kind: string;
  id: string;
  listed: UseQueryResult<Definition[]>;
}) {
  const { t } = useTranslation();
  const { kind, id, listed } = props;
  const found = KINDS[kind] ?? KINDS["segment"]!;
  const isNew = id === NEW;
  const definition = listed.data?.find((each) => each.id === id);
  const query = useQuery({
    queryKey: ["yaml", kind, id, definition?.etag ?? ""],
    enabled: isNew || definition !== undefined,
    queryFn: async () => {
      const form = await found.form(definition?.content ?? found.first);
      return { content: stringify(form, { lineWidth: 0 }), etag: definition?.etag ?? NOT_DEFINED };
    },
  });
  const draft = useDraft(`${kind} ${id}`, query.data, found.hasSecrets ? "private" : "stored");
  if (listed.data && !definition && !isNew && !draft.isEdited)
    return <Empty description={t("noDefinition")} />;
  return (
    <Shown query={listed} keep={draft.isEdited || isNew}>
      <Shown query={query} keep={draft.isEdited}>
        <DraftState draft={draft} />
        <Input.TextArea
          aria-label={t("definition")}
          rows={20}
          style={{ fontFamily: "monospace" }}
          value={draft.content ?? ""}
          onChange={(event) => draft.edit(event.target.value)}
        />
        <Apply key={draft.base?.etag ?? ""} kind={kind} found={found} draft={draft} isNew={isNew} />
        {kind === "journey" && (
          <Card title={t("replay")} style={{ marginTop: 16 }}>
            <Replay
              journey={async () =>
                (await found.content(parse(draft.content ?? ""))) as Schemas["activation.v1.Journey"]
              }
            />
          </Card>
        )}
      </Shown>
    </Shown>
  );
}

function Apply(props: { kind: string; found: Kind; draft: Draft<string>; isNew: boolean }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { kind, found, draft, isNew } = props;
  const failure = useSaveFailureText(isNew);
  const text = draft.content ?? "";
  const etag = draft.base?.etag ?? "";
  const define = async (dryRun: boolean) =>
    found.define((await found.content(parse(text))) as never, etag, dryRun);
  const onError = (error: Error) => {
    // Another version has become current: it is shown beside the draft.
    if (isStale(error)) void queries.invalidateQueries({ queryKey: ["definitions", kind] });
  };
  const check = useMutation({
    mutationFn: async () => ({ ...(await define(true)), text, etag }),
    onError,
  });
  const apply = useMutation({
    mutationFn: async () => awaitToken((await define(false)).token),
    onError,
    onSuccess: async () => {
      void message.success(t("saved"));
      draft.discard();
      await queries.invalidateQueries();
      void navigate(`/definitions/${kind}`);
    },
  });
  const isChecked = check.data?.text === text && check.data.etag === etag;
  const error = apply.error ?? check.error;
  const explain = (found: unknown) =>
    found instanceof YAMLParseError ? found.message : failure(found);
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
      {error && !draft.other && (
        <Alert type="error" style={{ marginTop: 8 }} title={explain(error)} />
      )}
      {isChecked && !check.data?.changed && (
        <Alert type="info" style={{ marginTop: 8 }} title={t("nothingChanges")} />
      )}
      {isChecked && check.data && <PeopleInside defined={check.data} />}
      {isChecked && check.data?.changed && (
        <pre aria-label={t("difference")} style={{ overflowX: "auto" }}>
          {difference(isNew ? "" : (draft.base?.content ?? ""), text).map((line, index) => (
            <div key={index} style={{ color: COLOURS[line.sign] }}>
              {line.sign} {line.text}
            </div>
          ))}
        </pre>
      )}
    </>
  );
}

const COLOURS = { "+": GREEN, "-": RED, " ": TEXT };
