// The policy of identity: edited as JSON, previewed over the whole history, and applied.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Card, Input, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { awaitToken, call, type Schemas, stream } from "../api/client";
import { number } from "../format";
import { DraftState, LOOK_MS, useDraft } from "./draft";
import { Person, useNames } from "./people";
import { Rows } from "./rows";
import { Shown, useFailureText } from "./states";

type Policy = Schemas["identity.v1.IdentityPolicy"];
type Part = Schemas["identity.v1.PreviewPolicyResponse"];
/** Changed profiles that are shown; the totals count all. */
const MOST_SHOWN = 50;

export function PolicyEditor() {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [parts, setParts] = useState<Part[] | null>(null);
  const query = useQuery({
    queryKey: ["policy"],
    refetchInterval: LOOK_MS,
    queryFn: ({ signal }) => call("/api/identity/GetPolicy", {}, signal),
  });
  const current = query.data && {
    content: JSON.stringify(query.data.policy ?? {}, null, 2),
    etag: query.data.etag,
  };
  const draft = useDraft("policy", current);
  const text = draft.content ?? "";
  const preview = useMutation({
    mutationFn: async () => {
      const found: Part[] = [];
      const policy = JSON.parse(text) as Policy;
      const { signal } = new AbortController();
      await stream("/api/identity/PreviewPolicy", { policy }, signal, (part) => {
        const one = part as Part;
        if (one.totals || found.length < MOST_SHOWN) found.push(one);
      });
      setParts(found);
    },
  });
  const apply = useMutation({
    mutationFn: async () => {
      const { token } = await call("/api/identity/DefinePolicy", {
        policy: JSON.parse(text) as Policy,
        etag: draft.base?.etag ?? "",
      });
      await awaitToken(token);
    },
    onSuccess: async () => {
      void message.success(t("saved"));
      draft.discard();
      setParts(null);
      await queries.invalidateQueries();
    },
    onError: () => void queries.invalidateQueries({ queryKey: ["policy"] }),
  });
  const error = preview.error ?? apply.error;
  return (
    <Card title={t("policy")} style={{ marginTop: 16 }}>
      <Shown query={query} keep={draft.isEdited}>
        <DraftState draft={draft} />
        <Input.TextArea
          aria-label={t("policy")}
          rows={16}
          style={{ fontFamily: "monospace" }}
          value={text}
          onChange={(event) => draft.edit(event.target.value)}
        />
        <Space style={{ marginTop: 8 }} wrap>
          <Button loading={preview.isPending} onClick={() => preview.mutate()}>
            {t("preview")}
          </Button>
          <Button
            type="primary"
            disabled={!draft.isEdited || parts === null}
            loading={apply.isPending}
            onClick={() => apply.mutate()}
          >
            {t("apply")}
          </Button>
        </Space>
        {error && !draft.other && (
          <Alert
            type="error"
            style={{ marginTop: 8 }}
            title={error instanceof SyntaxError ? t("notJson") : failure(error)}
          />
        )}
        {parts && <Changes parts={parts} />}
      </Shown>
    </Card>
  );
}

function Changes(props: { parts: Part[] }) {
  const { t, i18n } = useTranslation();
  const totals = props.parts.find((part) => part.totals)?.totals;
  const rows = props.parts.flatMap((part) => (part.regrouping ? [part.regrouping] : []));
  const ids = rows.flatMap((row) => [...(row.before ?? []), ...(row.after ?? [])]);
  const names = useNames(ids.map((each) => each.profile_id ?? ""));
  const people = (groups: Schemas["identity.v1.ProfileGroup"][] | undefined) => (
    <Space wrap>
      {(groups ?? []).map((each) => (
        <Person key={each.profile_id} id={each.profile_id} name={names.get(each.profile_id ?? "")} />
      ))}
    </Space>
  );
  return (
    <>
      <p>
        {t("policyTotals", {
          before: number(totals?.profiles_before, i18n.language),
          after: number(totals?.profiles_after, i18n.language),
        })}
      </p>
      {rows.length > 0 && (
        <Rows
          size="small"
          rowKey={(row) => JSON.stringify(row)}
          pagination={{ hideOnSinglePage: true }}
          dataSource={rows}
          columns={[
            { title: t("before"), render: (_, row) => people(row.before) },
            { title: t("after"), render: (_, row) => people(row.after) },
          ]}
        />
      )}
    </>
  );
}
