// One predicate: a trait, events or another segment in fields; everything else as text.
import { useMutation, useQuery } from "@tanstack/react-query";
import { AutoComplete, Button, Flex, Input, Select, Space, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { call } from "../../api/client";
import { useFailureText } from "../states";
import {
  AGE_KINDS,
  comparisonsOf,
  type Condition,
  entry,
  EVENT_KINDS,
  type Fields,
  fieldsOf,
  type Form,
  formOf,
  isText,
  type Json,
  ofKind,
  readEntered,
  REFERENCE_KINDS,
  TEXT,
  WITHOUT_VALUE,
  writeEntered,
} from "./tree";

const FIRST: Fields = {
  ...{ kind: "count", name: "", property: "", where: [], within: "", operator: "at_least" },
  value: 1,
};

export function PredicateFields(props: {
  form: Form;
  onChange: (form: Form) => void;
  path: string;
}) {
  const { t } = useTranslation();
  const { form, onChange, path } = props;
  const [kind, body] = entry(form);
  const fields = fieldsOf(form);
  const isReference = REFERENCE_KINDS.includes(kind) && (kind === "segment" || typeof body === "object");
  const shown = fields || isReference ? kind : TEXT;
  const choose = (next: string) => {
    if (next === "segment") onChange({ segment: "" });
    else if (next === "tag") onChange({ tag: { id: "" } });
    else if (next === "stage") onChange({ stage: { of: "", is: "" } });
    else if (next === TEXT) onChange({ [TEXT]: "" });
    else onChange(formOf(ofKind(fields ?? FIRST, next)));
  };
  return (
    <Flex wrap gap="small" align="center">
      <Select
        aria-label={`${t("kindOfRule")} ${path}`}
        style={{ width: 170 }}
        value={shown}
        onChange={choose}
        options={["trait", ...EVENT_KINDS, ...AGE_KINDS, ...REFERENCE_KINDS, TEXT].map((each) => ({
          value: each,
          label: t(`rule_${each}` as "rule_trait"),
        }))}
      />
      {fields ? (
        <Editor fields={fields} path={path} onChange={(next) => onChange(formOf(next))} />
      ) : isReference ? (
        <Reference kind={kind} body={body} path={path} onChange={onChange} />
      ) : (
        <AsText form={form} path={path} onChange={onChange} />
      )}
    </Flex>
  );
}

function Editor(props: { fields: Fields; path: string; onChange: (fields: Fields) => void }) {
  const { t } = useTranslation();
  const { fields, path, onChange } = props;
  const traits = useQuery({
    queryKey: ["trait-names"],
    staleTime: 60_000,
    queryFn: ({ signal }) => call("/api/profile/CountTraits", {}, signal),
  });
  const names = fields.kind === "trait" ? (traits.data?.traits ?? []).map((each) => each.name) : [];
  const isAge = AGE_KINDS.includes(fields.kind);
  const set = (part: Partial<Fields>) => onChange({ ...fields, ...part });
  return (
    <>
      <AutoComplete
        aria-label={`${t(fields.kind === "trait" ? "traitName" : "eventName")} ${path}`}
        placeholder={t(fields.kind === "trait" ? "traitName" : "eventName")}
        style={{ width: 190 }}
        value={fields.name}
        options={names.map((name) => ({ value: name }))}
        showSearch={{ filterOption: true }}
        onChange={(name: string) => set({ name })}
      />
      {fields.kind !== "trait" && fields.kind !== "count" && !isAge && (
        <Input
          aria-label={`${t("property")} ${path}`}
          placeholder={t("property")}
          style={{ width: 140 }}
          value={fields.property}
          onChange={(event) => set({ property: event.target.value })}
        />
      )}
      {fields.kind !== "trait" && (
        <Where where={fields.where} path={path} onChange={(where) => set({ where })} />
      )}
      {fields.kind !== "trait" && !isAge && (
        <Input
          aria-label={`${t("within")} ${path}`}
          placeholder={t("withinHint")}
          style={{ width: 130 }}
          value={fields.within}
          onChange={(event) => set({ within: event.target.value })}
        />
      )}
      <Comparison
        operators={comparisonsOf(fields.kind)}
        operator={fields.operator}
        value={fields.value}
        path={path}
        onChange={(operator, value) => set({ operator, value })}
      />
    </>
  );
}

function Comparison(props: {
  operators: string[];
  operator: string;
  value: Json;
  path: string;
  onChange: (operator: string, value: Json) => void;
}) {
  const { t } = useTranslation();
  const { operator, value, path, onChange } = props;
  const [entered, setEntered] = useState(writeEntered(value));
  useEffect(() => {
    if (JSON.stringify(readEntered(entered)) !== JSON.stringify(value)) setEntered(writeEntered(value));
  }, [value]);
  return (
    <Space.Compact>
      <Select
        aria-label={`${t("comparison")} ${path}`}
        style={{ width: 120 }}
        value={operator}
        onChange={(next: string) => onChange(next, WITHOUT_VALUE.includes(next) ? true : value)}
        options={props.operators.map((each) => ({
          value: each,
          label: t(`compare_${each}` as "compare_eq"),
        }))}
      />
      {!WITHOUT_VALUE.includes(operator) && (
        <Input
          aria-label={`${t("value")} ${path}`}
          style={{ width: 130 }}
          value={entered}
          onChange={(event) => {
            setEntered(event.target.value);
            onChange(operator, readEntered(event.target.value));
          }}
        />
      )}
    </Space.Compact>
  );
}

function Where(props: { where: Condition[]; path: string; onChange: (where: Condition[]) => void }) {
  const { t } = useTranslation();
  const { where, path, onChange } = props;
  const set = (index: number, part: Partial<Condition>) =>
    onChange(where.map((each, at) => (at === index ? { ...each, ...part } : each)));
  return (
    <>
      {where.map((each, index) => (
        <Flex key={index} wrap>
          <Input
            aria-label={`${t("property")} ${path} ${index + 1}`}
            placeholder={t("property")}
            style={{ width: 130 }}
            value={each.property}
            onChange={(event) => set(index, { property: event.target.value })}
          />
          <Comparison
            operators={comparisonsOf("trait")}
            operator={each.operator}
            value={each.value}
            path={`${path} ${index + 1}`}
            onChange={(operator, value) => set(index, { operator, value })}
          />
          <Button
            aria-label={`${t("remove")} ${path} ${index + 1}`}
            onClick={() => onChange(where.filter((_, at) => at !== index))}
          >
            ×
          </Button>
        </Flex>
      ))}
      <Button
        aria-label={`${t("addWhere")} ${path}`}
        onClick={() => onChange([...where, { property: "", operator: "eq", value: "" }])}
      >
        {t("addWhere")}
      </Button>
    </>
  );
}

function Reference(props: {
  kind: string;
  body: Json;
  path: string;
  onChange: (form: Form) => void;
}) {
  const { t } = useTranslation();
  const { kind, body, path, onChange } = props;
  const parts = (typeof body === "object" && body !== null ? body : { id: body }) as Form;
  const key = kind === "stage" ? "of" : "id";
  const set = (next: Form) => onChange({ [kind]: kind === "segment" ? next["id"]! : next });
  return (
    <>
      <Input
        aria-label={`${t("name")} ${path}`}
        placeholder="ID"
        style={{ width: 190 }}
        value={String(parts[key] ?? "")}
        onChange={(event) => set({ ...parts, [key]: event.target.value })}
      />
      {kind !== "segment" && (
        <Input
          aria-label={`${t("value")} ${path}`}
          placeholder={t("value")}
          style={{ width: 150 }}
          value={String(parts["is"] ?? "")}
          onChange={(event) => {
            const { is: _, ...others } = parts;
            set(event.target.value ? { ...others, is: event.target.value } : others);
          }}
        />
      )}
    </>
  );
}

/** A predicate as text; it counts once it can be read. */
function AsText(props: { form: Form; path: string; onChange: (form: Form) => void }) {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const { form, path, onChange } = props;
  // A text that is not read yet is in the rule, so that it is part of the draft.
  const isNew = isText(form);
  const [text, setText] = useState(isNew ? String(form[TEXT]) : "");
  const written = useQuery({
    queryKey: ["rule-text", form],
    enabled: !isNew,
    queryFn: ({ signal }) => call("/api/profile/TranslateRule", { json: form }, signal),
  });
  const own = i18n.language === "zh" ? written.data?.text_chinese : written.data?.text;
  useEffect(() => {
    if (own) setText(own);
  }, [own]);
  const read = useMutation({
    mutationFn: () => call("/api/profile/TranslateRule", { text }),
    onSuccess: (answer) => onChange(answer.json as Form),
  });
  return (
    <Space wrap>
      <Input
        aria-label={`${t("rule_text")} ${path}`}
        placeholder={t("ruleTextHint")}
        style={{ width: 420, maxWidth: "100%" }}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          onChange({ [TEXT]: event.target.value });
        }}
        onBlur={() => text && text !== own && read.mutate()}
        onPressEnter={() => text && read.mutate()}
      />
      {read.error && <Typography.Text type="danger">{failure(read.error)}</Typography.Text>}
    </Space>
  );
}
