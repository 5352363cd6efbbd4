// One person: identifiers, traits, tags, consents, segments and the timeline, now and as of then.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import {
  Button,
  Card,
  Col,
  DatePicker,
  Descriptions,
  Drawer,
  Row,
  Space,
  Table,
  Tag,
  Timeline,
  Typography,
} from "antd";
import dayjs from "dayjs";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams, useSearchParams } from "react-router";

import { call } from "../api/client";
import { identifierText, instant, number, valueText, word, ZONE } from "../format";
import { ExplanationTree } from "../parts/explanation";
import { Shown } from "../parts/states";

const PAGE = 50;

export default function ProfileView() {
  const { t, i18n } = useTranslation();
  const id = useParams()["id"] ?? "";
  const [search, setSearch] = useSearchParams();
  const asOf = Number(search.get("as_of") ?? 0);
  const [explained, setExplained] = useState<string | null>(null);
  const at = asOf ? { as_of_us: asOf } : {};
  const query = useQuery({
    queryKey: ["profile", id, asOf],
    queryFn: async ({ signal }) => {
      const [profile, identifiers] = await Promise.all([
        call("/api/profile/GetProfile", { profile_id: id, ...at }, signal),
        call("/api/identity/ListIdentifiers", { profile_id: id, ...at }, signal),
      ]);
      return { profile: profile.profile, identifiers: identifiers.identifiers };
    },
  });
  const profile = query.data?.profile;
  const name = profile?.traits?.find((trait) => trait.name === "name")?.value;
  return (
    <>
      <Typography.Title level={2}>{name ? valueText(name) : t("profile")}</Typography.Title>
      <Space wrap style={{ marginBottom: 16 }}>
        <label htmlFor="as-of">{t("asOf")}</label>
        <DatePicker
          id="as-of"
          showTime
          placeholder={t("now")}
          value={asOf ? dayjs(asOf / 1000) : null}
          disabledDate={(day) => day.isAfter(dayjs())}
          onChange={(value) =>
            setSearch(value ? { as_of: String(value.valueOf() * 1000) } : {}, { replace: true })
          }
        />
        <Typography.Text type="secondary">
          {asOf ? t("asOfHint") : ""} {ZONE}
        </Typography.Text>
      </Space>
      <Shown query={query}>
        <Row gutter={[16, 16]}>
          <Col xs={24} xl={14}>
            <Card title={t("identifiers")}>
              <Table
                size="small"
                rowKey="identifier_id"
                scroll={{ x: true }}
                pagination={{ hideOnSinglePage: true }}
                dataSource={query.data?.identifiers ?? []}
                columns={[
                  { title: t("value"), render: (_, row) => identifierText(row.identifier) },
                  { title: t("since"), render: (_, row) => instant(row.first_seen_us, i18n.language) },
                  {
                    title: t("introducedBy"),
                    render: (_, row) => <Fact id={row.fact_id ?? ""} />,
                  },
                ]}
              />
            </Card>
            <Card title={t("traits")} style={{ marginTop: 16 }}>
              <Table
                size="small"
                rowKey="name"
                scroll={{ x: true }}
                pagination={{ hideOnSinglePage: true }}
                dataSource={profile?.traits ?? []}
                columns={[
                  { title: t("name"), dataIndex: "name" },
                  { title: t("value"), render: (_, row) => valueText(row.value) },
                  {
                    title: t("standard"),
                    render: (_, row) => (row.standard == null ? "" : valueText(row.standard)),
                  },
                  { title: t("source"), dataIndex: "source_id" },
                  { title: t("time"), render: (_, row) => instant(row.occurred_at_us, i18n.language) },
                ]}
              />
            </Card>
          </Col>
          <Col xs={24} xl={10}>
            <Card>
              <Descriptions
                column={1}
                items={[
                  { label: t("firstSeen"), children: instant(profile?.first_seen_us, i18n.language) },
                  { label: t("lastSeen"), children: instant(profile?.last_seen_us, i18n.language) },
                  { label: t("events"), children: number(profile?.event_count, i18n.language) },
                ]}
              />
              <Space wrap>
                {(profile?.tags ?? []).map((tag) => (
                  <Tag key={tag.tag_id} color={tag.kind === "TAG_KIND_STAGE" ? "blue" : "default"}>
                    {tag.value ? `${tag.tag_id}: ${tag.value}` : tag.tag_id}
                  </Tag>
                ))}
              </Space>
            </Card>
            {(profile?.consents ?? []).length > 0 && (
              <Card title={t("consents")} style={{ marginTop: 16 }}>
                {(profile?.consents ?? []).map((consent) => (
                  <p key={consent.purpose}>
                    {consent.purpose}: {consent.granted ? t("granted") : t("refused")},{" "}
                    {instant(consent.since_us, i18n.language)}
                  </p>
                ))}
              </Card>
            )}
            <Memberships id={id} onExplain={setExplained} />
          </Col>
        </Row>
        <Events id={id} asOf={asOf} />
      </Shown>
      <Drawer
        open={explained !== null}
        size="large"
        onClose={() => setExplained(null)}
        title={t("explanationOf", { segment: explained ?? "" })}
      >
        {explained && <Explanation id={id} segment={explained} asOf={asOf} />}
      </Drawer>
    </>
  );
}

function Fact(props: { id: string }) {
  return (
    <Typography.Link href={`#fact-${props.id}`}>
      <code>{props.id.slice(0, 8)}</code>
    </Typography.Link>
  );
}

function Memberships(props: { id: string; onExplain: (segment: string) => void }) {
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
  return (
    <Card title={t("memberships")} style={{ marginTop: 16 }}>
      <Shown query={query} empty={query.data?.length === 0 && t("noSegments")}>
        <Table
          size="small"
          rowKey="id"
          pagination={false}
          scroll={{ x: true }}
          dataSource={query.data ?? []}
          columns={[
            {
              title: t("segment"),
              render: (_, row) => <Link to={`/segments/${row.id}`}>{row.title}</Link>,
            },
            {
              title: t("state"),
              render: (_, row) =>
                row.isMember ? (
                  <Tag color="#237804">{t("isMember")}</Tag>
                ) : (
                  <Tag>{t("isNoMember")}</Tag>
                ),
            },
            {
              title: t("since"),
              render: (_, row) => (row.isMember ? instant(row.since, i18n.language) : ""),
            },
            {
              title: "",
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

function Explanation(props: { id: string; segment: string; asOf: number }) {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["explanation", props.id, props.segment, props.asOf],
    queryFn: ({ signal }) =>
      call(
        "/api/profile/ExplainMembership",
        {
          profile_id: props.id,
          segment_id: props.segment,
          ...(props.asOf ? { as_of_us: props.asOf } : {}),
        },
        signal,
      ),
  });
  const explanation = query.data?.explanation;
  const text = i18n.language === "zh" ? explanation?.rule_text_chinese : explanation?.rule_text;
  return (
    <Shown query={query}>
      <Tag color={query.data?.is_member ? "#237804" : "default"}>
        {query.data?.is_member ? t("isMember") : t("isNoMember")}
      </Tag>
      <Typography.Paragraph style={{ whiteSpace: "pre-wrap", marginTop: 8 }}>
        {text}
      </Typography.Paragraph>
      {explanation?.root && <ExplanationTree root={explanation.root} />}
    </Shown>
  );
}

function Events(props: { id: string; asOf: number }) {
  const { t, i18n } = useTranslation();
  const query = useInfiniteQuery({
    queryKey: ["timeline", props.id, props.asOf],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/profile/ListTimeline",
        {
          profile_id: props.id,
          page_size: PAGE,
          page_token: pageParam,
          ...(props.asOf ? { before_us: props.asOf } : {}),
        },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const entries = query.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <Card title={t("timeline")} style={{ marginTop: 16 }}>
      <Shown query={query} empty={entries.length === 0 && t("noEvents")}>
        <Timeline
          items={entries.map((entry) => ({
            content: (
              <div id={`fact-${entry.fact_id}`}>
                <strong>{entry.name || entry.type || entry.kind}</strong>{" "}
                <Tag>{word(entry.timeline_kind, "TIMELINE_KIND_")}</Tag>{" "}
                <Typography.Text type="secondary">
                  {instant(entry.occurred_at_us, i18n.language)} · {entry.source_id}
                </Typography.Text>
                <div>
                  <code>{[entry.properties, entry.traits].filter(Boolean).map(valueText).join(" ")}</code>
                </div>
              </div>
            ),
          }))}
        />
        {query.hasNextPage && (
          <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {t("more")}
          </Button>
        )}
      </Shown>
    </Card>
  );
}
