// The sources, and the keys of the workspace.
import { useQuery } from "@tanstack/react-query";
import { Card, Table, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";

import { call } from "../api/client";
import { instant, word } from "../format";
import { Shown } from "../parts/states";
import { useSession } from "../session";

export default function Sources() {
  const { t } = useTranslation();
  const { caller } = useSession();
  const query = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => call("/api/ingest/ListSources", {}, signal),
  });
  return (
    <>
      <Typography.Title level={2}>{t("sources")}</Typography.Title>
      <Shown query={query} empty={query.data?.sources.length === 0 && t("noSources")}>
        <Table
          rowKey={(row) => row.source?.source_id ?? ""}
          pagination={{ hideOnSinglePage: true }}
          scroll={{ x: true }}
          dataSource={query.data?.sources ?? []}
          columns={[
            { title: t("source"), render: (_, row) => row.source?.source_id },
            { title: t("title"), render: (_, row) => row.source?.title },
            { title: t("channel"), render: (_, row) => row.source?.channel },
            { title: t("trust"), render: (_, row) => word(row.source?.trust, "SOURCE_TRUST_") },
          ]}
        />
      </Shown>
      {caller.role === "ROLE_ADMIN" && <Keys />}
    </>
  );
}

function Keys() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["keys"],
    queryFn: ({ signal }) => call("/api/ingest/ListKeys", {}, signal),
  });
  return (
    <Card title={t("keys")} style={{ marginTop: 24 }}>
      <Shown query={query}>
        <Table
          size="small"
          rowKey={(row) => row.key?.key_id ?? ""}
          pagination={{ hideOnSinglePage: true, pageSize: 20 }}
          scroll={{ x: true }}
          dataSource={query.data?.keys ?? []}
          columns={[
            { title: t("key"), render: (_, row) => <code>{row.key?.key_id}</code> },
            { title: t("title"), render: (_, row) => row.key?.title },
            { title: t("role"), render: (_, row) => word(row.key?.role, "ROLE_") },
            { title: t("source"), render: (_, row) => row.key?.source_id },
            {
              title: t("state"),
              render: (_, row) => <Tag>{word(row.state, "KEY_STATE_")}</Tag>,
            },
            {
              title: t("expires"),
              render: (_, row) =>
                row.key?.expires_at_us ? instant(row.key.expires_at_us, i18n.language) : t("never"),
            },
            { title: t("lastUsed"), render: (_, row) => row.last_used_on || t("never") },
          ]}
        />
      </Shown>
    </Card>
  );
}
