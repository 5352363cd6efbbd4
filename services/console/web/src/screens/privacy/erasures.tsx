// The erasure of a person: a preview first, then the request, and how far each is.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Card, Checkbox, Descriptions, Input, Popconfirm, Space, Tag, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { call, type Schemas } from "../../api/client";
import { instant, isProfileId, number } from "../../format";
import { useAddress } from "../../parts/address";
import { download } from "../../parts/download";
import { Rows } from "../../parts/rows";
import { Shown, useFailureText } from "../../parts/states";
import { word } from "../../words";

type Person = Pick<Schemas["identity.v1.RequestErasureRequest"], "profile_id" | "identifier">;

/** Returns the person that a text names: a profile id, or NAMESPACE:VALUE. */
function personOf(text: string): Person | null {
  const entered = text.trim();
  if (isProfileId(entered)) return { profile_id: entered };
  const at = entered.indexOf(":");
  if (at < 1 || at === entered.length - 1) return null;
  return { identifier: { namespace: entered.slice(0, at), value: entered.slice(at + 1) } };
}

export function Erasures() {
  return (
    <>
      <Request />
      <List />
    </>
  );
}

function Request() {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [search] = useAddress();
  const [text, setText] = useState(search.get("profile") ?? "");
  const [ground, setGround] = useState("");
  const [block, setBlock] = useState(false);
  const person = personOf(text);
  const request = (dry_run: boolean) =>
    call("/api/identity/RequestErasure", { ...person, legal_ground: ground, block, dry_run });
  const preview = useMutation({ mutationFn: () => request(true) });
  const erase = useMutation({
    mutationFn: () => request(false),
    onSuccess: () => {
      preview.reset();
      void queries.invalidateQueries({ queryKey: ["erasures"] });
    },
  });
  const change = (set: () => void) => {
    set();
    preview.reset();
    erase.reset();
  };
  const error = preview.error ?? erase.error;
  return (
    <Card title={t("erasePerson")}>
      <Space wrap>
        <Input
          aria-label={t("person")}
          placeholder="email:li@example.cn"
          style={{ width: 280 }}
          value={text}
          onChange={(event) => change(() => setText(event.target.value))}
        />
        <Input
          aria-label={t("legalGround")}
          placeholder={t("legalGround")}
          maxLength={200}
          style={{ width: 240 }}
          value={ground}
          onChange={(event) => change(() => setGround(event.target.value))}
        />
        <Checkbox checked={block} onChange={(event) => change(() => setBlock(event.target.checked))}>
          {t("blockPerson")}
        </Checkbox>
        <Button disabled={!person || !ground} loading={preview.isPending} onClick={() => preview.mutate()}>
          {t("previewErasure")}
        </Button>
      </Space>
      {error && <Alert type="error" style={{ marginTop: 16 }} title={failure(error)} />}
      {erase.data && <Alert type="success" style={{ marginTop: 16 }} title={t("erasureRequested")} />}
      {preview.data && (
        <>
          <Descriptions
            column={1}
            size="small"
            style={{ marginTop: 16 }}
            items={[
              { key: "profile", label: t("profile"), children: <code>{preview.data.profile_id}</code> },
              {
                key: "identifiers",
                label: t("identifiers"),
                children: (
                  <Space wrap>
                    {preview.data.identifiers.map((each) => (
                      <Tag key={`${each.namespace}:${each.value}`}>{`${each.namespace}:${each.value}`}</Tag>
                    ))}
                  </Space>
                ),
              },
              {
                key: "others",
                label: t("identifiersOfOthers"),
                children: number(preview.data.related_identifiers, i18n.language),
              },
              { key: "where", label: t("erasedPlaces"), children: t("erasedPlacesText") },
            ]}
          />
          <Popconfirm title={t("eraseForEver")} onConfirm={() => erase.mutate()}>
            <Button danger type="primary" loading={erase.isPending}>
              {t("erase")}
            </Button>
          </Popconfirm>
        </>
      )}
    </Card>
  );
}

/** How much of what is erased: a line each, as columns would be wider than the page. */
function Counts(props: { erasure: Schemas["ingest.v1.ErasureSummary"] }) {
  const { t, i18n } = useTranslation();
  const { identifiers, facts, facts_of_others, refused_events } = props.erasure;
  const lines = [
    [t("identifiers"), identifiers],
    [t("facts"), facts],
    [t("factsOfOthers"), facts_of_others],
    [t("refusedEvents"), refused_events],
  ] as const;
  return lines.map(([name, count]) => (
    <div key={name}>
      {name}: {number(count, i18n.language)}
    </div>
  ));
}

function List() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["erasures"],
    refetchInterval: 5_000,
    queryFn: ({ signal }) => call("/api/ingest/ListErasures", { page_size: 1_000 }, signal),
  });
  const rows = query.data?.erasures ?? [];
  return (
    <Card title={t("erasures")} style={{ marginTop: 24 }}>
      <Shown query={query} empty={rows.length === 0 && t("noErasures")}>
        <Rows
          size="small"
          rowKey="request_id"
          pagination={{ hideOnSinglePage: true, pageSize: 20 }}
          dataSource={rows}
          columns={[
            { title: t("requested"), render: (_, row) => instant(row.requested_at_us, i18n.language) },
            {
              title: t("state"),
              render: (_, row) => (
                <>
                  <Tag>{word(row.state, "ERASURE_STATE_", i18n.language)}</Tag>
                  {row.erased_at_us ? <div>{instant(row.erased_at_us, i18n.language)}</div> : null}
                </>
              ),
            },
            { title: t("legalGround"), dataIndex: "legal_ground" },
            { title: t("erasedData"), render: (_, row) => <Counts erasure={row} /> },
            { title: t("blockPerson"), render: (_, row) => t(row.block ? "yes" : "no") },
            {
              title: t("requestId"),
              render: (_, row) => (
                <>
                  <Typography.Text copyable={{ text: row.request_id ?? "" }}>
                    <code>{row.request_id?.slice(0, 8)}</code>
                  </Typography.Text>
                  <div>
                    {t("key")} <code>{row.actor}</code>
                  </div>
                </>
              ),
            },
            {
              title: t("certificate"),
              render: (_, row) =>
                row.certificate && (
                  <Button
                    size="small"
                    onClick={() =>
                      download(
                        `erasure-${row.request_id}.json`,
                        JSON.stringify(row.certificate, null, 2),
                      )
                    }
                  >
                    {t("saveCertificate")}
                  </Button>
                ),
            },
          ]}
        />
      </Shown>
    </Card>
  );
}
