// The dashboards of the workspace.
import { useQuery } from "@tanstack/react-query";
import { Button, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../api/client";
import { number } from "../format";
import { Head } from "../parts/head";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { useSession } from "../session";

export default function Dashboards() {
  const { t, i18n } = useTranslation();
  const { caller } = useSession();
  const query = useQuery({
    queryKey: ["dashboards"],
    queryFn: ({ signal }) => call("/api/activation/ListDashboards", {}, signal),
  });
  const rows = (query.data?.dashboards ?? []).flatMap(({ dashboard }) =>
    dashboard && !dashboard.retired ? [dashboard] : [],
  );
  return (
    <>
      <Head>
        <Typography.Title level={2}>{t("dashboards")}</Typography.Title>
        {caller.role !== "ROLE_READER" && (
          <Link to="/dashboards/new">
            <Button type="primary">{t("newDashboard")}</Button>
          </Link>
        )}
      </Head>
      <Shown query={query} empty={rows.length === 0 && t("noDashboards")}>
        <Rows
          rowKey="dashboard_id"
          pagination={{ hideOnSinglePage: true }}
          dataSource={rows}
          columns={[
            {
              title: t("title"),
              render: (_, row) => (
                <Link to={`/dashboards/${encodeURIComponent(row.dashboard_id)}`}>
                  {row.title || row.dashboard_id}
                </Link>
              ),
            },
            { title: t("tiles"), render: (_, row) => number(row.tiles?.length, i18n.language) },
            { title: t("version"), dataIndex: "version" },
          ]}
        />
      </Shown>
    </>
  );
}
