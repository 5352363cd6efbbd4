// Which identifiers, traits and properties are personal or sensitive in this workspace.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Input, Select, Space, Tag, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { call, type Schemas } from "../../api/client";
import { Rows } from "../../parts/rows";
import { Shown, useFailureText } from "../../parts/states";
import { word } from "../../words";

type FieldClass = Schemas["type.v1.FieldClass"];
type Kind = "identifiers" | "names";
const CLASSES: FieldClass[] = ["FIELD_CLASS_NONE", "FIELD_CLASS_PERSONAL", "FIELD_CLASS_SENSITIVE"];

export function FieldClasses(props: { isAdmin: boolean }) {
  const { t, i18n } = useTranslation();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [kind, setKind] = useState<Kind>("names");
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<FieldClass>("FIELD_CLASS_NONE");
  const query = useQuery({
    queryKey: ["field-classes"],
    queryFn: ({ signal }) => call("/api/ingest/GetFieldClasses", {}, signal),
  });
  const classes = query.data?.classes ?? {};
  const define = useMutation({
    mutationFn: (change: { kind: Kind; name: string; to: FieldClass | null }) => {
      const own: Record<string, FieldClass> = { ...classes[change.kind] };
      if (change.to) own[change.name] = change.to;
      else delete own[change.name];
      return call("/api/ingest/DefineFieldClasses", {
        classes: { identifiers: classes.identifiers ?? {}, names: classes.names ?? {}, [change.kind]: own },
        etag: query.data?.etag ?? "",
      });
    },
    onSuccess: () => {
      setName("");
      void queries.invalidateQueries({ queryKey: ["field-classes"] });
    },
  });
  const rows = (["identifiers", "names"] as const).flatMap((each) =>
    Object.entries(classes[each] ?? {}).map(([key, value]) => ({ kind: each, name: key, value })),
  );
  const kinds = [
    { value: "names" as const, label: t("traitOrProperty") },
    { value: "identifiers" as const, label: t("identifier") },
  ];
  return (
    <>
      <Typography.Paragraph>{t("fieldClassesText")}</Typography.Paragraph>
      {props.isAdmin && (
        <Space wrap style={{ marginBottom: 16 }}>
          <Select aria-label={t("kind")} style={{ width: 180 }} value={kind} onChange={setKind} options={kinds} />
          <Input
            aria-label={t("name")}
            placeholder={t("name")}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <Select
            aria-label={t("fieldClass")}
            style={{ width: 140 }}
            value={chosen}
            onChange={setChosen}
            options={CLASSES.map((each) => ({ value: each, label: word(each, "FIELD_CLASS_", i18n.language) }))}
          />
          <Button
            disabled={!name || !query.data}
            loading={define.isPending}
            onClick={() => define.mutate({ kind, name, to: chosen })}
          >
            {t("define")}
          </Button>
        </Space>
      )}
      {define.error && <Alert type="error" style={{ marginBottom: 16 }} title={failure(define.error)} />}
      <Shown query={query} empty={rows.length === 0 && t("noFieldClasses")}>
        <Rows
          size="small"
          rowKey={(row) => `${row.kind}/${row.name}`}
          pagination={{ hideOnSinglePage: true, pageSize: 20 }}
          dataSource={rows}
          columns={[
            { title: t("kind"), render: (_, row) => kinds.find((each) => each.value === row.kind)?.label },
            { title: t("name"), dataIndex: "name" },
            {
              title: t("fieldClass"),
              render: (_, row) => <Tag>{word(row.value, "FIELD_CLASS_", i18n.language)}</Tag>,
            },
            ...(props.isAdmin
              ? [
                  {
                    title: t("actions"),
                    render: (_: unknown, row: (typeof rows)[number]) => (
                      <Button
                        size="small"
                        onClick={() => define.mutate({ kind: row.kind, name: row.name, to: null })}
                      >
                        {t("useDefault")}
                      </Button>
                    ),
                  },
                ]
              : []),
          ]}
        />
      </Shown>
    </>
  );
}
