// Builds a segment: its rule as groups and as text, the size and some members while it is edited.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Card, Col, Empty, Form, Input, Row, Space, Statistic, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useParams } from "react-router";

import { awaitToken, call, type Schemas } from "../api/client";
import { number } from "../format";
import { type Draft, DraftState, LOOK_MS, useDraft, useSaveFailureText } from "../parts/draft";
import { Person, useNames } from "../parts/people";
import { RuleBuilder } from "../parts/rule/builder";
import { type Form as RuleForm, isComplete } from "../parts/rule/tree";
import { Shown, useFailureText } from "../parts/states";

type Segment = Schemas["segment.v1.SegmentDefined"];
/** What is edited: the fields of the builder, and the other members of the definition. */
interface Edited {
  segment: Segment | null;
  id: string;
  title: string;
  form: RuleForm;
  /** The rule as text, while it is edited and not read yet. */
  text?: string | undefined;
}
const NEW: Edited = {
  ...{ segment: null, id: "", title: "" },
  form: { all: [{ count: { event: "", at_least: 1 } }] },
};
/** The etag of what is not defined yet. */
const NOT_DEFINED = "0";
/** How long the preview waits for more input, and how many members it shows. */
const WAIT_MS = 400;
const SAMPLE = 20;

export default function SegmentBuilder() {
  const id = useParams()["id"] ?? "";
  return <Builder key={id} id={id} />;
}

function Builder(props: { id: string }) {
  const { t } = useTranslation();
  const { id } = props;
  const segments = useQuery({
    queryKey: ["segments"],
    refetchInterval: LOOK_MS,
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
  });
  const existing = segments.data?.segments.find((each) => each.segment?.segment_id === id);
  const segment = existing?.segment;
  const rule = segment?.rule;
  const form = useQuery({
    queryKey: ["rule", rule],
    enabled: rule !== undefined,
    queryFn: ({ signal }) => call("/api/profile/TranslateRule", { rule: rule! }, signal),
  });
  const current =
    segment && form.data
      ? {
          content: { segment, id, title: segment.title ?? "", form: form.data.json as RuleForm },
          etag: existing.etag ?? "",
        }
      : undefined;
  const draft = useDraft<Edited>(
    `segment-builder ${id}`,
    id ? current : { content: NEW, etag: NOT_DEFINED },
  );
  if (id && segments.data && !segment && !draft.isEdited)
    return <Empty description={t("noDefinition")} />;
  return (
    <Shown query={segments} keep={draft.isEdited || !id}>
      <Shown query={form} keep={draft.isEdited || !id}>
        {draft.content && <Editor draft={draft} edited={draft.content} />}
      </Shown>
    </Shown>
  );
}

function Editor(props: { draft: Draft<Edited>; edited: Edited }) {
  const { t, i18n } = useTranslation();
  const { draft, edited } = props;
  const { segment, id, title, form } = edited;
  const set = (part: Partial<Edited>) => draft.edit({ ...edited, ...part });
  const setForm = (form: RuleForm) => set({ form, text: undefined });
  const waited = useWaited(form);
  const complete = isComplete(waited);
  const rule = useQuery({
    queryKey: ["rule-form", waited],
    enabled: complete,
    retry: false,
    queryFn: ({ signal }) => call("/api/profile/TranslateRule", { json: waited }, signal),
  });
  const text = i18n.language === "zh" ? rule.data?.text_chinese : rule.data?.text;
  return (
    <>
      <Typography.Title level={2}>{segment ? title || id : t("newSegment")}</Typography.Title>
      <DraftState draft={draft} />
      <Row gutter={[16, 16]}>
        <Col xs={24} xl={16}>
          <Form layout="vertical" component="div">
            <Space wrap>
              <Form.Item label={t("id")} htmlFor="segment-id">
                <Input
                  id="segment-id"
                  disabled={segment !== null}
                  value={id}
                  onChange={(event) => set({ id: event.target.value })}
                />
              </Form.Item>
              <Form.Item label={t("title")} htmlFor="segment-title">
                <Input
                  id="segment-title"
                  value={title}
                  onChange={(event) => set({ title: event.target.value })}
                />
              </Form.Item>
            </Space>
          </Form>
          <RuleBuilder form={form} onChange={(form) => set({ form })} />
          <RuleText
            text={text ?? ""}
            edited={edited.text}
            onEdit={(text) => set({ text })}
            onRead={setForm}
          />
        </Col>
        <Col xs={24} xl={8}>
          {!complete && <Alert type="info" title={t("fillRule")} />}
          <Preview
            rule={rule.data?.rule}
            failure={rule.error}
            segment={segment}
            isOld={waited !== form}
          />
          <Save draft={draft} edited={edited} rule={waited === form ? rule.data?.rule : undefined} />
        </Col>
      </Row>
    </>
  );
}

/** Returns a value once it has not changed for some time. */
function useWaited<T>(value: T): T {
  const [waited, setWaited] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setWaited(value), WAIT_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return waited;
}

/** The rule as text beside the groups; either can be edited. */
function RuleText(props: {
  text: string;
  edited: string | undefined;
  onEdit: (text: string | undefined) => void;
  onRead: (form: RuleForm) => void;
}) {
  const { t } = useTranslation();
  const failure = useFailureText();
  const { edited, onEdit } = props;
  const read = useMutation({
    mutationFn: (text: string) => call("/api/profile/TranslateRule", { text }),
    onSuccess: (answer) => props.onRead(answer.json as RuleForm),
  });
  return (
    <Card size="small" title={t("ruleAsText")} style={{ marginTop: 16 }}>
      <Input.TextArea
        aria-label={t("ruleAsText")}
        rows={4}
        value={edited ?? props.text}
        onChange={(event) => onEdit(event.target.value)}
      />
      <Space style={{ marginTop: 8 }}>
        <Button
          disabled={edited === undefined}
          loading={read.isPending}
          onClick={() => read.mutate(edited ?? "")}
        >
          {t("readText")}
        </Button>
        {edited !== undefined && <Button onClick={() => onEdit(undefined)}>{t("discard")}</Button>}
      </Space>
      {read.error && (
        <Alert type="error" style={{ marginTop: 8 }} title={failure(read.error)} />
      )}
    </Card>
  );
}

function Preview(props: {
  rule: Schemas["rule.v1.Rule"] | undefined;
  failure: unknown;
  segment: Segment | null;
  isOld: boolean;
}) {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const { rule, segment } = props;
  const query = useQuery({
    queryKey: ["preview", segment?.segment_id, rule],
    enabled: rule !== undefined,
    retry: false,
    queryFn: ({ signal }) =>
      call(
        "/api/segment/PreviewSegment",
        {
          segment: { segment_id: "", ...segment, rule: rule! },
          sample_size: SAMPLE,
        },
        signal,
      ),
  });
  const members = query.data?.members[0];
  const sample = members?.sample ?? [];
  const shown = [
    ...sample.map((each) => each.profile_id ?? ""),
    ...(members?.entering_profile_ids ?? []),
    ...(members?.leaving_profile_ids ?? []),
  ];
  const names = useNames(shown);
  if (!rule && !props.failure) return null;
  if (props.failure) return <Alert type="info" title={failure(props.failure)} />;
  return (
    <Card title={t("preview")} aria-busy={props.isOld || query.isFetching}>
      <Shown query={query}>
        <Space wrap size="large">
          <Count title={t("size")} of={members?.size} />
          {segment && <Count title={t("entering")} of={members?.entering} />}
          {segment && <Count title={t("leaving")} of={members?.leaving} />}
        </Space>
        <p>
          {t("evaluatedOf", {
            evaluated: number(query.data?.evaluated, i18n.language),
            profiles: number(query.data?.profiles, i18n.language),
          })}
        </p>
        <People title={t("sample")} ids={sample.map((each) => each.profile_id ?? "")} names={names} />
        {segment && <People title={t("entering")} ids={members?.entering_profile_ids ?? []} names={names} />}
        {segment && <People title={t("leaving")} ids={members?.leaving_profile_ids ?? []} names={names} />}
      </Shown>
    </Card>
  );
}

function Count(props: { title: string; of: Schemas["segment.v1.Estimate"] | undefined }) {
  const { i18n } = useTranslation();
  const { value = 0, low = 0, high = 0 } = props.of ?? {};
  const range = `${number(low, i18n.language)}–${number(high, i18n.language)}`;
  return (
    <Statistic
      title={props.title}
      value={value}
      {...(low === high ? {} : { suffix: <small>({range})</small> })}
    />
  );
}

function People(props: { title: string; ids: string[]; names: Map<string, string> }) {
  if (props.ids.length === 0) return null;
  return (
    <>
      <Typography.Text strong>{props.title}</Typography.Text>
      <ul>
        {props.ids.map((id) => (
          <li key={id}>
            <Person id={id} name={props.names.get(id)} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Save(props: {
  draft: Draft<Edited>;
  edited: Edited;
  rule: Schemas["rule.v1.Rule"] | undefined;
}) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { draft, rule } = props;
  const { segment, id, title } = props.edited;
  const failure = useSaveFailureText(!segment);
  const save = useMutation({
    mutationFn: async () => {
      const { token } = await call("/api/segment/DefineSegment", {
        // Members that have no field here are those of the version that the edit is based on.
        segment: { ...draft.base?.content.segment, segment_id: id, title, rule: rule! },
        etag: draft.base?.etag ?? "",
      });
      await awaitToken(token);
    },
    onSuccess: async () => {
      void message.success(t("saved"));
      draft.discard();
      await queries.invalidateQueries({ queryKey: ["segments"] });
      void navigate(`/segments/${id}`);
    },
    // Another version has become current: it is shown beside the draft.
    onError: () => void queries.invalidateQueries({ queryKey: ["segments"] }),
  });
  return (
    <>
      <Button
        type="primary"
        style={{ marginTop: 16 }}
        disabled={!id || !rule}
        loading={save.isPending}
        onClick={() => save.mutate()}
      >
        {t("save")}
      </Button>
      {save.error && !draft.other && (
        <Alert
          type="error"
          style={{ marginTop: 8 }}
          title={failure(save.error)}
        />
      )}
    </>
  );
}
