// What each key did and read, at all services together.
import { useQuery } from "@tanstack/react-query";
import { Checkbox, Input, Space } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../../api/client";
import { instant, isProfileId } from "../../format";
import { useAddress } from "../../parts/address";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";
import { term, word } from "../../words";

const SERVICES = ["ingest", "identity", "profile", "segment", "activation"] as const;
/** The most entries of each service that are shown. */
const MOST = 200;
const SHOWN_PROFILES = 3;

export function Audit() {
  const { t, i18n } = useTranslation();
  const [search, set] = useAddress();
  const profile = search.get("of") ?? "";
  const reads = search.has("reads");
  const isId = isProfileId(profile);
  const query = useQuery({
    queryKey: ["audit", isId ? profile : "", reads],
    queryFn: async ({ signal }) => {
      const request = {
        page_size: MOST,
        reads_only: reads,
        ...(isId ? { profile_id: profile } : {}),
      };
      const pages = await Promise.all(
        SERVICES.map(async (service) => {
          const page = await call(`/api/${service}/ListAuditEntries`, request, signal);
          return page.entries.map((entry) => ({ ...entry, service }));
        }),
      );
      return pages.flat().sort((a, b) => Number(b.at_us ?? 0) - Number(a.at_us ?? 0));
    },
  });
  const rows = query.data ?? [];
  return (
    <>
      <Space wrap style={{ marginBottom: 16 }}>
        <Input
          aria-label={t("profile")}
          placeholder={t("profile")}
          style={{ width: 320 }}
          allowClear
          status={profile && !isId ? "error" : ""}
          value={profile}
          onChange={(event) => set("of", event.target.value)}
        />
        <Checkbox checked={reads} onChange={(event) => set("reads", event.target.checked ? "1" : "")}>
          {t("readsOnly")}
        </Checkbox>
      </Space>
      <Shown query={query} empty={rows.length === 0 && t("noAudit")}>
        <Rows
          size="small"
          rowKey={(row) => `${row.service}/${row.number}`}
          pagination={{ hideOnSinglePage: true, pageSize: 20 }}
          dataSource={rows}
          columns={[
            { title: t("time"), render: (_, row) => instant(row.at_us, i18n.language) },
            {
              title: t("key"),
              render: (_, row) => (
                <>
                  <code>{row.key_id}</code> {word(row.role, "ROLE_", i18n.language)}
                </>
              ),
            },
            { title: t("call"), render: (_, row) => row.method?.split("/").slice(-1)[0] },
            { title: t("result"), render: (_, row) => term(row.outcome, i18n.language) },
            {
              title: t("concerning"),
              render: (_, row) => (
                <Space wrap style={{ overflowWrap: "anywhere" }}>
                  {row.target}
                  {row.profile_ids?.slice(0, SHOWN_PROFILES).map((id) => (
                    <Link key={id} to={`/profiles/${id}`}>
                      {id.slice(0, 8)}
                    </Link>
                  ))}
                  {(row.profile_ids?.length ?? 0) > SHOWN_PROFILES && `(${row.profile_ids?.length})`}
                </Space>
              ),
            },
            {
              title: t("fieldsRead"),
              render: (_, row) =>
                row.count
                  ? `${row.names?.filter(Boolean).join(", ")} (${word(row.visible, "FIELD_CLASS_", i18n.language)})`
                  : "",
            },
            { title: t("reason"), dataIndex: "reason" },
          ]}
        />
      </Shown>
    </>
  );
}
