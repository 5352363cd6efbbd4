// Who is one person and why: the held evidence to decide about, and the policy.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Card, Select, Space, Tag, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";

import { call, type Schemas } from "../api/client";
import { identifierText, instant, number } from "../format";
import { IN_PLACE } from "../parts/address";
import { Decide, type Pair } from "../parts/decide";
import { More } from "../parts/more";
import { Person, useNames } from "../parts/people";
import { PolicyEditor } from "../parts/policy";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { word } from "../words";

type Reason = Schemas["identity.v1.HeldReason"];
const PAGE = 50;

export default function Identity() {
  const { t } = useTranslation();
  return (
    <>
      <Typography.Title level={2}>{t("identity")}</Typography.Title>
      <Held />
      <PolicyEditor />
    </>
  );
}

function Held() {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const [decided, setDecided] = useState<Pair | null>(null);
  const reason = (search.get("reason") ?? "") as Reason | "";
  const query = useInfiniteQuery({
    queryKey: ["held", reason],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/identity/ListHeld",
        { page_size: PAGE, page_token: pageParam, ...(reason ? { reason } : {}) },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.held) ?? [];
  const counts = query.data?.pages[0]?.counts ?? [];
  const reasons = [...new Set(counts.map((each) => each.reason))].filter((each) => each !== undefined);
  const names = useNames(rows.flatMap((row) => [row.profile_id_a ?? "", row.profile_id_b ?? ""]));
  const countOf = (of: Reason) =>
    counts.filter((each) => each.reason === of).reduce((sum, each) => sum + (each.count ?? 0), 0);
  return (
    <Card title={t("held")}>
      <Typography.Paragraph type="secondary">{t("heldHint")}</Typography.Paragraph>
      <Select
        allowClear
        aria-label={t("reason")}
        placeholder={t("reason")}
        style={{ width: 260, marginBottom: 16 }}
        value={reason || undefined}
        onChange={(value?: Reason) => setSearch(value ? { reason: value } : {}, IN_PLACE)}
        options={[...new Set([...reasons, ...(reason ? [reason] : [])])].map((each) => ({
          value: each,
          label: `${word(each, "HELD_REASON_", i18n.language)} (${number(countOf(each), i18n.language)})`,
        }))}
      />
      <Shown query={query} empty={rows.length === 0 && t("noHeld")}>
        <Rows
          size="small"
          rowKey={(row) => `${identifierText(row.edge?.a)} ${identifierText(row.edge?.b)} ${row.edge?.kind}`}
          pagination={false}
          dataSource={rows}
          columns={[
            { title: t("identifier"), render: (_, row) => identifierText(row.edge?.a) },
            { title: t("identifier"), render: (_, row) => identifierText(row.edge?.b) },
            {
              title: t("evidence"),
              render: (_, row) => word(row.edge?.kind, "EVIDENCE_KIND_", i18n.language),
            },
            {
              title: t("reason"),
              render: (_, row) => (
                <Tag>{word(row.edge?.held_reason, "HELD_REASON_", i18n.language)}</Tag>
              ),
            },
            {
              title: t("profiles"),
              render: (_, row) => (
                <Space>
                  <Person id={row.profile_id_a} name={names.get(row.profile_id_a ?? "")} />
                  <Person id={row.profile_id_b} name={names.get(row.profile_id_b ?? "")} />
                </Space>
              ),
            },
            { title: t("since"), render: (_, row) => instant(row.edge?.first_seen_us, i18n.language) },
            {
              title: t("actions"),
              render: (_, row) => (
                <Space>
                  <Button onClick={() => setDecided(pairOf(row))}>{t("decide")}</Button>
                  <Link to={`/identity/${row.profile_id_a}`}>{t("graph")}</Link>
                </Space>
              ),
            },
          ]}
        />
        <More query={query} />
      </Shown>
      {decided && <Decide pair={decided} onEnd={() => setDecided(null)} />}
    </Card>
  );
}

/** Returns the two identifiers whose decision decides about a held edge. */
function pairOf(held: Schemas["identity.v1.HeldEdge"]): Pair {
  const [a, b] = held.clash?.length === 2 ? held.clash : [held.edge?.a, held.edge?.b];
  return { a: a!, b: b! };
}
