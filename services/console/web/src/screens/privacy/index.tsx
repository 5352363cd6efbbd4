// Privacy: erasures of persons, the audit, and which fields are personal.
import { Alert, Segmented, Typography } from "antd";
import { useTranslation } from "react-i18next";

import { useAddress } from "../../parts/address";
import { useSession } from "../../session";
import { Audit } from "./audit";
import { Erasures } from "./erasures";
import { FieldClasses } from "./fields";

const PARTS = ["erasures", "audit", "fields"] as const;
const NAMES = { erasures: "erasures", audit: "audit", fields: "fieldClasses" } as const;

export default function Privacy() {
  const { t } = useTranslation();
  const { caller } = useSession();
  const [search, set] = useAddress();
  const isAdmin = caller.role === "ROLE_ADMIN";
  const parts = PARTS.filter((each) => isAdmin || each === "fields");
  const part = parts.find((each) => each === search.get("tab")) ?? parts[0];
  return (
    <>
      <Typography.Title level={2}>{t("privacy")}</Typography.Title>
      {isAdmin ? (
        <Segmented
          aria-label={t("privacy")}
          style={{ marginBottom: 16 }}
          value={part}
          onChange={(chosen) => set("tab", String(chosen))}
          options={parts.map((each) => ({ value: each, label: t(NAMES[each]) }))}
        />
      ) : (
        <Alert type="info" showIcon style={{ marginBottom: 16 }} title={t("privacyNeedsAdmin")} />
      )}
      {part === "erasures" && <Erasures />}
      {part === "audit" && <Audit />}
      {part === "fields" && <FieldClasses isAdmin={isAdmin} />}
    </>
  );
}
