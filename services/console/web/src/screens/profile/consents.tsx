// What a person has answered for each purpose, and whether messages of it may be sent.
import { useQuery } from "@tanstack/react-query";
import { Card, Tag } from "antd";
import { useTranslation } from "react-i18next";

import { call, type Schemas } from "../../api/client";
import { instant } from "../../format";
import { isAllowed, needOf } from "../../parts/consent";
import { Fact } from "../../parts/explanation";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";
import { word } from "../../words";

type Consent = Schemas["profile.v1.Consent"];

/** `isNow`: the policy is that of now, so what it allows is shown of now alone. */
export function Consents(props: { consents: Consent[]; isNow: boolean }) {
  const { t, i18n } = useTranslation();
  const policy = useQuery({
    queryKey: ["contact-policy"],
    queryFn: ({ signal }) => call("/api/activation/GetContactPolicy", {}, signal),
  });
  const purposes = policy.data?.policy?.purposes ?? {};
  const answered = new Map(props.consents.map((each) => [each.purpose ?? "", each]));
  const rows = [...new Set([...answered.keys(), ...Object.keys(purposes)])].sort().map((purpose) => {
    const consent = answered.get(purpose);
    const need = needOf(purposes[purpose]);
    return { purpose, need, consent, allowed: isAllowed(purposes[purpose], consent) };
  });
  return (
    <Card title={t("consents")} style={{ marginTop: 16 }}>
      <Shown query={policy} keep={props.consents.length > 0} empty={rows.length === 0 && t("noConsents")}>
        <Rows
          size="small"
          rowKey="purpose"
          pagination={false}
          dataSource={rows}
          columns={[
            { title: t("purpose"), dataIndex: "purpose" },
            {
              title: t("answer"),
              render: (_, { consent }) =>
                consent ? (
                  <>
                    {t(consent.granted ? "granted" : "refused")} {instant(consent.since_us, i18n.language)}{" "}
                    {consent.source_id} <Fact id={consent.fact_id ?? ""} />
                  </>
                ) : (
                  t("noAnswer")
                ),
            },
            {
              title: t("messages"),
              hidden: !props.isNow || !policy.data,
              render: (_, { allowed, need }) => (
                <>
                  <Tag color={allowed ? "#237804" : "#a8071a"}>{t(allowed ? "allowed" : "notAllowed")}</Tag>
                  {word(need, "CONSENT_NEED_", i18n.language)}
                </>
              ),
            },
          ]}
        />
      </Shown>
    </Card>
  );
}
