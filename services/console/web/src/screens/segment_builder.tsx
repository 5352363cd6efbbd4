// Builds a segment: its rule as groups and as text, the size and some members while it is edited.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Card, Col, Form, Input, Row, Space, Statistic, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useParams } from "react-router";

import { awaitToken, call, CallError, type Schemas } from "../api/client";
import { number } from "../format";
import { Person, useNames } from "../parts/people";
import { RuleBuilder } from "../parts/rule/builder";
import { type Form as RuleForm, isComplete } from "../parts/rule/tree";
import { Shown, useFailureText } from "../parts/states";

type Summary = Schemas["segment.v1.SegmentSummary"];
const FIRST: RuleForm = { all: [{ count: { event: "", at_least: 1 } }] };
/** How long the preview waits for more input, and how many members it shows. */
const WAIT_MS = 400;
const SAMPLE = 20;

export default function SegmentBuilder() {
  const id = useParams()["id"];
  const segments = useQuery({
    queryKey: ["segments"],
    queryFn: ({ signal }) => call("/api/segment/ListSegments", {}, signal),
  });
  const existing = segments.data?.segments.find((each) => each.segment?.segment_id === id);
  const rule = existing?.segment?.rule;
  const form = useQuery({
    queryKey: ["rule", rule],
    enabled: rule !== undefined,
    queryFn: ({ signal }) => call("/api/profile/TranslateRule", { rule: rule! }, signal),
  });
  if (!id) return <Editor existing={undefined} first={FIRST} />;
  return (
    <Shown query={rule ? form : segments}>
      {form.data && <Editor key={id} existing={existing} first={form.data.json as RuleForm} />}
    </Shown>
  );
}

function Editor(props: { existing: Summary | undefined; first: RuleForm }) {
  const { t, i18n } = useTranslation();
  const { existing } = props;
  const [id, setId] = useState(existing?.segment?.segment_id ?? "");
  const [title, setTitle] = useState(existing?.segment?.title ?? "");
  const [form, setForm] = useState(props.first);
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
      <Typography.Title level={2}>{existing ? title || id : t("newSegment")}</Typography.Title>
      <Row gutter={[16, 16]}>
        <Col xs={24} xl={16}>
          <Form layout="vertical" component="div">
            <Space wrap>
              <Form.Item label={t("id")} htmlFor="segment-id">
                <Input
                  id="segment-id"
                  disabled={existing !== undefined}
                  value={id}
                  onChange={(event) => setId(event.target.value)}
                />
              </Form.Item>
              <Form.Item label={t("title")} htmlFor="segment-title">
                <Input
                  id="segment-title"
                  value={title}
                  onChange={(event) => setTitle(event.target.value)}
                />
              </Form.Item>
            </Space>
          </Form>
          <RuleBuilder form={form} onChange={setForm} />
          <RuleText text={text ?? ""} onRead={setForm} />
        </Col>
        <Col xs={24} xl={8}>
          {!complete && <Alert type="info" title={t("fillRule")} />}
          <Preview
            rule={rule.data?.rule}
            failure={rule.error}
            segment={existing?.segment}
            isOld={waited !== form}
          />
          <Save id={id} title={title} rule={rule.data?.rule} existing={existing} />
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
function RuleText(props: { text: string; onRead: (form: RuleForm) => void }) {
  const { t } = useTranslation();
  const failure = useFailureText();
  const [edited, setEdited] = useState<string | null>(null);
  const read = useMutation({
    mutationFn: (text: string) => call("/api/profile/TranslateRule", { text }),
    onSuccess: (answer) => {
      props.onRead(answer.json as RuleForm);
      setEdited(null);
    },
  });
  return (
    <Card size="small" title={t("ruleAsText")} style={{ marginTop: 16 }}>
      <Input.TextArea
        aria-label={t("ruleAsText")}
        rows={4}
        value={edited ?? props.text}
        onChange={(event) => setEdited(event.target.value)}
      />
      <Space style={{ marginTop: 8 }}>
        <Button
          disabled={edited === null}
          loading={read.isPending}
          onClick={() => read.mutate(edited ?? "")}
        >
          {t("readText")}
        </Button>
        {edited !== null && <Button onClick={() => setEdited(null)}>{t("discard")}</Button>}
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
  segment: Schemas["segment.v1.SegmentDefined"] | undefined;
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
  id: string;
  title: string;
  rule: Schemas["rule.v1.Rule"] | undefined;
  existing: Summary | undefined;
}) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { id, title, rule, existing } = props;
  const save = useMutation({
    mutationFn: async () => {
      const { token } = await call("/api/segment/DefineSegment", {
        segment: { ...existing?.segment, segment_id: id, title, rule: rule! },
        ...(existing?.etag ? { etag: existing.etag } : {}),
      });
      await awaitToken(token);
    },
    onSuccess: async () => {
      void message.success(t("saved"));
      await queries.invalidateQueries({ queryKey: ["segments"] });
      void navigate(`/segments/${id}`);
    },
  });
  const isStale = save.error instanceof CallError && save.error.reason === "ETAG_MISMATCH";
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
      {save.error && (
        <Alert
          type="error"
          style={{ marginTop: 8 }}
          title={isStale ? t("changedMeanwhile") : failure(save.error)}
        />
      )}
    </>
  );
}
