// The segments of a person, and why or why not.
import { useQuery } from "@tanstack/react-query";
import { Button, Card, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../../api/client";
import { instant } from "../../format";
import { ExplanationTree } from "../../parts/explanation";
import { keptFor } from "../../parts/reveal";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";

const YES = "#237804";

/** `past`: the segments that the person was in as of an earlier instant; null = now. */
export function Memberships(props: {
  id: string;
  past: string[] | null;
  onExplain: (segment: string) => void;
}) {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["memberships", props.id],
    queryFn: async ({ signal }) => {
      const [own, all] = await Promise.all([
        call("/api/segment/ListMemberships", { profile_id: props.id }, signal),
        call("/api/segment/ListSegments", {}, signal),
      ]);
      const since = new Map(own.stays.map((stay) => [stay.segment_id, stay.entered_at_us]));
      return all.segments.map((each) => {
        const id = each.segment?.segment_id ?? "";
        const isMember = own.segment_ids.includes(id);
        return { id, title: each.segment?.title ?? id, isMember, since: since.get(id) };
      });
    },
  });
  const past = props.past;
  const rows = (query.data ?? []).map((row) =>
    past ? { ...row, isMember: past.includes(row.id), since: undefined } : row,
  );
  return (
    <Card title={t("memberships")} style={{ marginTop: 16 }}>
      <Shown query={query} empty={query.data?.length === 0 && t("noSegments")}>
        <Rows
          size="small"
          rowKey="id"
          pagination={false}
          dataSource={rows}
          columns={[
            {
              title: t("segment"),
              render: (_, row) => <Link to={`/segments/${row.id}`}>{row.title}</Link>,
            },
            {
              title: t("state"),
              render: (_, row) =>
                row.isMember ? <Tag color={YES}>{t("isMember")}</Tag> : <Tag>{t("isNoMember")}</Tag>,
            },
            {
              title: t("since"),
              render: (_, row) => (row.isMember ? instant(row.since, i18n.language) : ""),
            },
            {
              title: t("actions"),
              render: (_, row) => (
                <Button size="small" onClick={() => props.onExplain(row.id)}>
                  {t("why")}
                </Button>
              ),
            },
          ]}
        />
      </Shown>
    </Card>
  );
}

export function Explanation(props: { id: string; segment: string; asOf: number; reason: string }) {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["explanation", props.id, props.segment, props.asOf, props.reason],
    ...keptFor(props.reason, false),
    queryFn: ({ signal }) =>
      call(
        "/api/profile/ExplainMembership",
        {
          profile_id: props.id,
          segment_id: props.segment,
          ...(props.asOf ? { as_of_us: props.asOf } : {}),
        },
        signal,
        props.reason,
      ),
  });
  const explanation = query.data?.explanation;
  const text = i18n.language === "zh" ? explanation?.rule_text_chinese : explanation?.rule_text;
  return (
    <Shown query={query}>
      <Tag color={query.data?.is_member ? YES : "default"}>
        {query.data?.is_member ? t("isMember") : t("isNoMember")}
      </Tag>
      <Typography.Paragraph style={{ whiteSpace: "pre-wrap", marginTop: 8 }}>
        {text}
      </Typography.Paragraph>
      {explanation?.root && <ExplanationTree root={explanation.root} />}
    </Shown>
  );
}
