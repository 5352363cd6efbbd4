// One person: identifiers, traits, tags, consents, segments, messages and the timeline.
import { useQuery } from "@tanstack/react-query";
import { Button, Card, Col, Descriptions, Drawer, Row, Space, Tag, Typography } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useLocation, useParams } from "react-router";

import { call, type Schemas } from "../../api/client";
import { identifierText, instant, nameOf, number, valueText } from "../../format";
import { AsOf, useAsOf } from "../../parts/as_of";
import { Fact } from "../../parts/explanation";
import { Head } from "../../parts/head";
import { Runs } from "../../parts/journey/runs";
import { keptFor, useReveal } from "../../parts/reveal";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";
import { useTitles } from "../../parts/titles";
import { useSession } from "../../session";
import { word } from "../../words";
import { Consents } from "./consents";
import { Explanation, Memberships } from "./memberships";
import { Messages } from "./messages";
import { Tickets } from "./tickets";
import { Events } from "./timeline";

type Profile = Schemas["profile.v1.Profile"];
const BELOW = { marginTop: 16 };
const REFRESH_MS = 5_000;

export default function ProfileView() {
  const { t } = useTranslation();
  const id = useParams()["id"] ?? "";
  const { caller } = useSession();
  const [asOf] = useAsOf();
  const [reason, reveal] = useReveal(id);
  const [explained, setExplained] = useState<string | null>(null);
  const segment = useTitles("segment");
  const { hash } = useLocation();
  // A fact that an explanation names is in the timeline behind it.
  useEffect(() => setExplained(null), [hash]);
  const at = asOf ? { as_of_us: asOf } : {};
  const query = useQuery({
    queryKey: ["profile", id, asOf, reason],
    ...keptFor(reason, asOf ? false : REFRESH_MS),
    queryFn: async ({ signal }) => {
      const [profile, identifiers] = await Promise.all([
        call("/api/profile/GetProfile", { profile_id: id, ...at }, signal, reason),
        call("/api/identity/ListIdentifiers", { profile_id: id, ...at }, signal, reason),
      ]);
      return { profile: profile.profile, identifiers: identifiers.identifiers };
    },
  });
  // Now, whatever the instant is: the slider begins with the first event.
  const first = useQuery({
    queryKey: ["profile", id, 0, "first"],
    queryFn: ({ signal }) => call("/api/profile/GetProfile", { profile_id: id }, signal),
  });
  const profile: Profile = query.data?.profile ?? {};
  return (
    <>
      <Head>
        <Typography.Title level={2}>{nameOf(profile) || t("profile")}</Typography.Title>
        <Space wrap>
          {reveal}
          <Link to={`/profiles/${id}/known`}>
            <Button>{t("whatIsKnown")}</Button>
          </Link>
          {caller.role === "ROLE_ADMIN" && (
            <Link to={`/privacy?profile=${id}`}>
              <Button>{t("eraseThisPerson")}</Button>
            </Link>
          )}
        </Space>
      </Head>
      <AsOf from={first.data?.profile.first_seen_us ?? 0} />
      <Shown query={query}>
        <Row gutter={[16, 16]}>
          <Col xs={24} xl={14}>
            <Identifiers id={id} identifiers={query.data?.identifiers ?? []} />
            <Traits profile={profile} />
            <Messages id={id} />
            <Tickets
              id={id}
              identifiers={(query.data?.identifiers ?? []).flatMap((each) => each.identifier ?? [])}
            />
            <Runs profile={id} />
          </Col>
          <Col xs={24} xl={10}>
            <Summary profile={profile} />
            <Consents consents={profile.consents ?? []} isNow={!asOf} />
            <Memberships
              id={id}
              past={asOf ? (profile.past_segment_ids ?? []) : null}
              onExplain={setExplained}
            />
          </Col>
        </Row>
        <Events id={id} asOf={asOf} reason={reason} />
      </Shown>
      <Drawer
        open={explained !== null}
        size="large"
        onClose={() => setExplained(null)}
        title={t("explanationOf", { segment: segment(explained ?? "") })}
      >
        {explained && <Explanation id={id} segment={explained} asOf={asOf} reason={reason} />}
      </Drawer>
    </>
  );
}

function Identifiers(props: {
  id: string;
  identifiers: Schemas["identity.v1.ProfileIdentifier"][];
}) {
  const { t, i18n } = useTranslation();
  return (
    <Card
      title={t("identifiers")}
      extra={<Link to={`/identity/${props.id}`}>{t("whyOnePerson")}</Link>}
    >
      <Rows
        size="small"
        rowKey="identifier_id"
        pagination={{ hideOnSinglePage: true }}
        dataSource={props.identifiers}
        columns={[
          { title: t("value"), render: (_, row) => identifierText(row.identifier) },
          { title: t("since"), render: (_, row) => instant(row.first_seen_us, i18n.language) },
          { title: t("introducedBy"), render: (_, row) => <Fact id={row.fact_id ?? ""} /> },
        ]}
      />
    </Card>
  );
}

function Traits(props: { profile: Profile }) {
  const { t, i18n } = useTranslation();
  const computed = (props.profile.computed_traits ?? []).map((each) => ({
    ...each,
    source_id: t("computed"),
    occurred_at_us: 0,
    fact_id: "",
    standard: null,
    correction: undefined,
  }));
  return (
    <Card title={t("traits")} style={BELOW}>
      <Rows
        size="small"
        rowKey="name"
        pagination={{ hideOnSinglePage: true }}
        dataSource={[...(props.profile.traits ?? []), ...computed]}
        columns={[
          { title: t("name"), dataIndex: "name" },
          {
            title: t("value"),
            render: (_, row) => <span style={{ overflowWrap: "anywhere" }}>{valueText(row.value)}</span>,
          },
          {
            title: t("standard"),
            render: (_, row) => (row.standard == null ? "" : valueText(row.standard)),
          },
          {
            title: t("source"),
            render: (_, row) => (row.correction ? row.correction.actor : row.source_id),
          },
          { title: t("time"), render: (_, row) => instant(row.occurred_at_us, i18n.language) },
          {
            title: t("fact"),
            render: (_, row) => (row.fact_id ? <Fact id={row.fact_id} /> : ""),
          },
        ]}
      />
    </Card>
  );
}

function Summary(props: { profile: Profile }) {
  const { t, i18n } = useTranslation();
  const title = useTitles("tag");
  const { profile } = props;
  return (
    <Card>
      <Descriptions
        column={1}
        items={[
          { label: t("firstSeen"), children: instant(profile.first_seen_us, i18n.language) },
          { label: t("lastSeen"), children: instant(profile.last_seen_us, i18n.language) },
          { label: t("events"), children: number(profile.event_count, i18n.language) },
        ]}
      />
      <Space wrap style={{ marginTop: 8 }}>
        {(profile.tags ?? []).map((tag) => (
          <Tag key={tag.tag_id} color={tag.kind === "TAG_KIND_STAGE" ? "blue" : "default"}>
            {word(tag.kind, "TAG_KIND_", i18n.language)} {title(tag.tag_id)}
            {tag.value ? `: ${tag.value}` : ""}
          </Tag>
        ))}
      </Space>
    </Card>
  );
}
