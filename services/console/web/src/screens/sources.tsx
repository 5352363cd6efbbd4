// The sources, how to send to them, what they send now, and the keys of the workspace.
import { useQuery } from "@tanstack/react-query";
import { Button, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../api/client";
import { Head } from "../parts/head";
import { Keys, RefusedCalls } from "../parts/keys";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { useSession } from "../session";
import { word } from "../words";

export default function Sources() {
  const { t, i18n } = useTranslation();
  const { caller } = useSession();
  const query = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => call("/api/ingest/ListSources", {}, signal),
  });
  const sources = query.data?.sources ?? [];
  return (
    <>
      <Head>
        <Typography.Title level={2}>{t("sources")}</Typography.Title>
        <Link to="/definitions/source/new">
          <Button>{t("newSource")}</Button>
        </Link>
      </Head>
      <Shown query={query} empty={sources.length === 0 && t("noSources")}>
        <Rows
          rowKey={(row) => row.source?.source_id ?? ""}
          pagination={{ hideOnSinglePage: true }}
          dataSource={sources}
          columns={[
            {
              title: t("source"),
              render: (_, row) => (
                <Link to={`/definitions/source/${row.source?.source_id}`}>{row.source?.source_id}</Link>
              ),
            },
            { title: t("title"), render: (_, row) => row.source?.title },
            { title: t("channel"), render: (_, row) => row.source?.channel },
            {
              title: t("trust"),
              render: (_, row) => word(row.source?.trust, "SOURCE_TRUST_", i18n.language),
            },
            {
              title: t("actions"),
              render: (_, row) => (
                <Link to={`/events?source=${row.source?.source_id}`}>{t("liveEvents")}</Link>
              ),
            },
          ]}
        />
      </Shown>
      {caller.role === "ROLE_ADMIN" && (
        <>
          <Keys sources={sources.map((each) => each.source?.source_id ?? "")} />
          <RefusedCalls />
        </>
      )}
    </>
  );
}
