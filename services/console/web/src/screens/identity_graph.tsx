// The evidence about one person, as a graph and as lists; persons are separated and linked here.
import { useQuery } from "@tanstack/react-query";
import { Button, Card, Checkbox, Input, Space, Tag, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";

import { call, type Schemas } from "../api/client";
import { identifierText, instant, nameOf } from "../format";
import { Decide, type Pair } from "../parts/decide";
import { IdentityGraph } from "../parts/graph";
import { Person, useNames } from "../parts/people";
import { Rows } from "../parts/rows";
import { useSelection } from "../parts/selection";
import { Shown } from "../parts/states";
import { word } from "../words";

type Decision = Schemas["identity.v1.Decision"];
const BELOW = { marginTop: 16 };
/** How often the page looks whether another user has decided something. */
const REFRESH_MS = 2_000;

export default function IdentityGraphView() {
  const { t } = useTranslation();
  const id = useParams()["id"] ?? "";
  const [decided, setDecided] = useState<{ pair: Pair; first: Decision } | null>(null);
  const query = useQuery({
    queryKey: ["graph", id],
    refetchInterval: REFRESH_MS,
    queryFn: ({ signal }) => call("/api/identity/GetGraph", { profile_id: id }, signal),
  });
  const profile = useQuery({
    queryKey: ["profile", id, 0, "name"],
    queryFn: ({ signal }) => call("/api/profile/GetProfile", { profile_id: id }, signal),
  });
  const graph = query.data;
  const decide = (pair: Pair, first: Decision) => setDecided({ pair, first });
  return (
    <>
      <Typography.Title level={2}>
        {t("whyOnePerson")} <Link to={`/profiles/${id}`}>{nameOf(profile.data?.profile) || id.slice(0, 8)}</Link>
      </Typography.Title>
      <Shown query={query}>
        {graph && (
          <>
            <Card>
              <IdentityGraph graph={graph} />
            </Card>
            <Choose graph={graph} onDecide={decide} />
            <Edges graph={graph} onDecide={decide} />
            <Decisions graph={graph} onDecide={decide} />
          </>
        )}
      </Shown>
      {decided && <Decide {...decided} onEnd={() => setDecided(null)} />}
    </>
  );
}

interface Part {
  graph: Required<Schemas["identity.v1.GetGraphResponse"]>;
  onDecide: (pair: Pair, first: Decision) => void;
}

/** Two identifiers of the person are chosen, to say that they are two persons. */
function Choose({ graph, onDecide }: Part) {
  const { t, i18n } = useTranslation();
  const [chosen, setChosen] = useSelection();
  const [other, setOther] = useState("");
  const colon = other.indexOf(":");
  const linked = { namespace: other.slice(0, colon).trim(), value: other.slice(colon + 1).trim() };
  const identifiers = graph.identifiers.map((each) => ({
    ...each,
    id: each.identifier_id ?? "",
    text: identifierText(each.identifier),
  }));
  const decide = (decided: Pair, first: Decision) => {
    setChosen([]);
    onDecide(decided, first);
  };
  const pair = identifiers.filter((each) => chosen.includes(each.id)).map((each) => each.identifier);
  return (
    <Card title={t("identifiers")} style={BELOW}>
      <Typography.Paragraph type="secondary">{t("separateHint")}</Typography.Paragraph>
      <Rows
        size="small"
        rowKey="id"
        pagination={{ hideOnSinglePage: true }}
        dataSource={identifiers}
        columns={[
          {
            title: t("identifier"),
            render: (_, row) => (
              <Checkbox
                checked={chosen.includes(row.id)}
                disabled={pair.length >= 2 && !chosen.includes(row.id)}
                onChange={(event) =>
                  setChosen(
                    event.target.checked
                      ? [...chosen, row.id]
                      : chosen.filter((id) => id !== row.id),
                  )
                }
              >
                {row.text}
              </Checkbox>
            ),
          },
          { title: t("since"), render: (_, row) => instant(row.first_seen_us, i18n.language) },
          { title: t("fact"), render: (_, row) => <code>{row.fact_id?.slice(0, 8)}</code> },
        ]}
      />
      <Space wrap style={BELOW}>
        <Button
          disabled={pair.length !== 2}
          onClick={() => decide({ a: pair[0]!, b: pair[1]! }, "DECISION_SEPARATE")}
        >
          {t("separate")}
        </Button>
        <Input
          aria-label={t("otherIdentifier")}
          placeholder={t("otherIdentifier")}
          style={{ width: 280 }}
          value={other}
          onChange={(event) => setOther(event.target.value)}
        />
        <Button
          disabled={pair.length !== 1 || colon < 1}
          onClick={() => decide({ a: pair[0]!, b: linked }, "DECISION_LINK")}
        >
          {t("link")}
        </Button>
      </Space>
    </Card>
  );
}

function Edges({ graph, onDecide }: Part) {
  const { t, i18n } = useTranslation();
  const others = graph.edges.flatMap((each) =>
    [each.profile_id_a, each.profile_id_b].filter((id) => id && id !== graph.profile_id),
  ) as string[];
  const names = useNames(others);
  return (
    <Card title={t("evidence")} style={BELOW}>
      <Rows
        size="small"
        rowKey={({ edge }) => `${identifierText(edge?.a)} ${identifierText(edge?.b)} ${edge?.kind}`}
        pagination={{ hideOnSinglePage: true }}
        dataSource={graph.edges}
        columns={[
          { title: t("identifier"), render: (_, { edge }) => identifierText(edge?.a) },
          { title: t("identifier"), render: (_, { edge }) => identifierText(edge?.b) },
          {
            title: t("evidence"),
            render: (_, { edge }) => word(edge?.kind, "EVIDENCE_KIND_", i18n.language),
          },
          { title: t("since"), render: (_, { edge }) => instant(edge?.first_seen_us, i18n.language) },
          {
            title: t("state"),
            render: (_, row) => <EdgeState row={row} own={graph.profile_id} names={names} />,
          },
          {
            title: t("actions"),
            render: (_, { edge }) => (
              <Button
                size="small"
                onClick={() =>
                  onDecide(
                    { a: edge!.a!, b: edge!.b! },
                    isHeld(edge) ? "DECISION_LINK" : "DECISION_SEPARATE",
                  )
                }
              >
                {t("decide")}
              </Button>
            ),
          },
        ]}
      />
    </Card>
  );
}

function isHeld(edge: Schemas["identity.v1.Edge"] | undefined): boolean {
  return (edge?.held_reason ?? "HELD_REASON_UNSPECIFIED") !== "HELD_REASON_UNSPECIFIED";
}

function EdgeState(props: {
  row: Schemas["identity.v1.GraphEdge"];
  own: string;
  names: Map<string, string>;
}) {
  const { t, i18n } = useTranslation();
  const { edge, profile_id_a, profile_id_b } = props.row;
  if (!isHeld(edge)) return <Tag color="#237804">{t("links")}</Tag>;
  const other = profile_id_a === props.own ? profile_id_b : profile_id_a;
  return (
    <Space>
      <Tag color="#cf1322">{word(edge?.held_reason, "HELD_REASON_", i18n.language)}</Tag>
      {other !== props.own && <Person id={other} name={props.names.get(other ?? "")} />}
    </Space>
  );
}

function Decisions({ graph, onDecide }: Part) {
  const { t, i18n } = useTranslation();
  if (graph.decisions.length === 0) return null;
  return (
    <Card title={t("decisions")} style={BELOW}>
      <Rows
        size="small"
        rowKey="fact_id"
        pagination={{ hideOnSinglePage: true }}
        dataSource={graph.decisions}
        columns={[
          { title: t("identifier"), render: (_, row) => identifierText(row.a) },
          { title: t("identifier"), render: (_, row) => identifierText(row.b) },
          {
            title: t("decision"),
            render: (_, row) => word(row.decision, "DECISION_", i18n.language),
          },
          { title: t("reason"), dataIndex: "reason" },
          { title: t("author"), dataIndex: "actor" },
          { title: t("time"), render: (_, row) => instant(row.occurred_at_us, i18n.language) },
          {
            title: t("actions"),
            render: (_, row) => (
              <Button
                size="small"
                onClick={() => onDecide({ a: row.a!, b: row.b! }, "DECISION_WITHDRAW")}
              >
                {t("undo")}
              </Button>
            ),
          },
        ]}
      />
    </Card>
  );
}
