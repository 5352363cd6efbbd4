// The pools of coupons with what is left of them, and the slots with their variants.
import { useQuery } from "@tanstack/react-query";
import { Button, Card, Flex, Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call } from "../api/client";
import { number } from "../format";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";

const TABLE = { pagination: { hideOnSinglePage: true }, scroll: { x: true } } as const;

export default function Offers() {
  const { t } = useTranslation();
  return (
    <>
      <Typography.Title level={2}>{t("offers")}</Typography.Title>
      <Pools />
      <Slots />
    </>
  );
}

function Titled(props: { kind: string; id: string; title: string | undefined; retired: boolean | undefined }) {
  const { t } = useTranslation();
  return (
    <Flex gap="small">
      <Link to={`/definitions/${props.kind}/${encodeURIComponent(props.id)}`}>{props.title || props.id}</Link>
      {props.retired && <Tag>{t("retired")}</Tag>}
    </Flex>
  );
}

function Add(props: { kind: string }) {
  const { t } = useTranslation();
  return (
    <Link to={`/definitions/${props.kind}/new`}>
      <Button size="small">{t("add")}</Button>
    </Link>
  );
}

function Pools() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["coupon-pools"],
    queryFn: ({ signal }) => call("/api/activation/ListCouponPools", {}, signal),
  });
  const rows = (query.data?.pools ?? []).map(({ pool, ...rest }) => ({ ...rest, pool, id: pool?.pool_id ?? "" }));
  return (
    <Card title={t("kind_coupons")} extra={<Add kind="coupons" />}>
      <Shown query={query} empty={rows.length === 0 && t("noCoupons")}>
        <Rows
          {...TABLE}
          size="small"
          rowKey="id"
          dataSource={rows}
          columns={[
            {
              title: t("title"),
              render: (_, row) => (
                <Titled kind="coupons" id={row.id} title={row.pool?.title} retired={row.pool?.retired} />
              ),
            },
            {
              title: t("couponsFree"),
              render: (_, row) => (row.pool?.prefix ? t("generated") : number(row.free, i18n.language)),
            },
            { title: t("couponsIssued"), render: (_, row) => number(row.issued, i18n.language) },
            { title: t("couponsUsed"), render: (_, row) => number(row.used, i18n.language) },
            { title: t("couponsVoided"), render: (_, row) => number(row.voided, i18n.language) },
            { title: t("version"), render: (_, row) => row.pool?.version },
          ]}
        />
      </Shown>
    </Card>
  );
}

function Slots() {
  const { t } = useTranslation();
  const query = useQuery({
    queryKey: ["slots"],
    queryFn: ({ signal }) => call("/api/activation/ListSlots", {}, signal),
  });
  const rows = (query.data?.slots ?? []).map(({ slot }) => ({ ...slot, id: slot?.slot_id ?? "" }));
  return (
    <Card title={t("kind_slot")} style={{ marginTop: 16 }} extra={<Add kind="slot" />}>
      <Shown query={query} empty={rows.length === 0 && t("noSlots")}>
        <Rows
          {...TABLE}
          size="small"
          rowKey="id"
          dataSource={rows}
          columns={[
            {
              title: t("title"),
              render: (_, row) => (
                <Titled kind="slot" id={row.id} title={row.title} retired={row.retired} />
              ),
            },
            {
              title: t("variants"),
              render: (_, row) => (row.variants ?? []).map((each) => each.variant_id).join(", "),
            },
            { title: t("version"), dataIndex: "version" },
          ]}
        />
      </Shown>
    </Card>
  );
}
