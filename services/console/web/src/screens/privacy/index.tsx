// Privacy: erasures of persons, who did and read what, and which fields are personal.
import { Alert, Tabs, Typography } from "antd";
import { useTranslation } from "react-i18next";

import { useAddress } from "../../parts/address";
import { useSession } from "../../session";
import { Audit } from "./audit";
import { Erasures } from "./erasures";
import { FieldClasses } from "./fields";

export default function Privacy() {
  const { t } = useTranslation();
  const { caller } = useSession();
  const [search, set] = useAddress();
  const isAdmin = caller.role === "ROLE_ADMIN";
  return (
    <>
      <Typography.Title level={2}>{t("privacy")}</Typography.Title>
      {!isAdmin && (
        <Alert type="info" showIcon style={{ marginBottom: 16 }} title={t("privacyNeedsAdmin")} />
      )}
      <Tabs
        activeKey={search.get("tab") ?? (isAdmin ? "erasures" : "fields")}
        onChange={(key) => set("tab", key)}
        destroyOnHidden
        items={[
          ...(isAdmin
            ? [
                { key: "erasures", label: t("erasures"), children: <Erasures /> },
                { key: "audit", label: t("audit"), children: <Audit /> },
              ]
            : []),
          { key: "fields", label: t("fieldClasses"), children: <FieldClasses isAdmin={isAdmin} /> },
        ]}
      />
    </>
  );
}
