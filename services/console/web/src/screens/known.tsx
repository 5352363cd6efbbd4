// What is known about a person, and why, in sentences: to read with the person, print, and hand out.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Alert, Button, Card, Space, Typography } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";

import type { Schemas } from "../api/client";
import { identifierText, instant, nameOf, number, valueText } from "../format";
import { isAllowed } from "../parts/consent";
import { download } from "../parts/download";
import { Head } from "../parts/head";
import { type Known, loadKnown, type Membership } from "../parts/known";
import { keptFor, useReveal } from "../parts/reveal";
import { Shown, useFailureText } from "../parts/states";
import { useTitles } from "../parts/titles";
import { word } from "../words";

/** The most entries of each list that the page shows; the file has all. */
const SHOWN = 20;

export default function KnownView() {
  const { t } = useTranslation();
  const failure = useFailureText();
  const id = useParams()["id"] ?? "";
  const [reason, reveal] = useReveal(id);
  const query = useQuery({
    queryKey: ["known", id, reason],
    ...keptFor(reason, false),
    queryFn: ({ signal }) => loadKnown(id, SHOWN, signal, reason),
  });
  const save = useMutation({
    mutationFn: async () => {
      const known = await loadKnown(id, Infinity, new AbortController().signal, reason);
      download(`person-${id.slice(0, 8)}.json`, JSON.stringify(known, null, 2));
    },
  });
  const name = nameOf(query.data?.profile);
  return (
    <>
      <Head>
        <Typography.Title level={2}>{name ? t("knownOf", { name }) : t("whatIsKnown")}</Typography.Title>
        <Space wrap className="not-printed">
          {reveal}
          <Link to={`/profiles/${id}`}>
            <Button>{t("profile")}</Button>
          </Link>
          <Button onClick={() => print()}>{t("print")}</Button>
          <Button loading={save.isPending} onClick={() => save.mutate()}>
            {t("saveAll")}
          </Button>
        </Space>
      </Head>
      <Typography.Paragraph>{t("knownHint", { most: SHOWN })}</Typography.Paragraph>
      {save.error && <Alert type="error" title={failure(save.error)} />}
      <Shown query={query}>{query.data && <Sections known={query.data} />}</Shown>
    </>
  );
}

/** A heading with a list of sentences; `none` where there is nothing to say. */
function Section(props: { title: string; none: string; lines: ReactNode[] }) {
  return (
    <Card title={props.title} style={{ marginTop: 16 }}>
      {props.lines.length === 0 && props.none}
      <ul style={{ margin: 0, paddingInlineStart: 20, overflowWrap: "anywhere" }}>
        {props.lines.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ul>
    </Card>
  );
}

function Sections(props: { known: Known }) {
  const { t, i18n } = useTranslation();
  const tag = useTitles("tag");
  const { known } = props;
  const { profile } = known;
  const at = (us: number | undefined) => instant(us, i18n.language);
  return (
    <>
      <Section
        title={t("identifiers")}
        none={t("nothingKnown")}
        lines={known.identifiers.map((each) =>
          t("knownIdentifier", {
            identifier: identifierText(each.identifier),
            time: at(each.first_seen_us),
            fact: each.fact_id ?? "",
          }),
        )}
      />
      <Section
        title={t("traits")}
        none={t("nothingKnown")}
        lines={[
          ...(profile.traits ?? []).map((each) =>
            t("knownTrait", {
              name: each.name,
              value: valueText(each.value),
              source: each.correction?.actor || each.source_id,
              time: at(each.occurred_at_us),
              fact: each.fact_id ?? "",
            }),
          ),
          ...(profile.computed_traits ?? []).map((each) =>
            t("knownComputed", { name: each.name, value: valueText(each.value) }),
          ),
        ]}
      />
      <Section
        title={t("tags")}
        none={t("nothingKnown")}
        lines={(profile.tags ?? []).map((each) =>
          [word(each.kind, "TAG_KIND_", i18n.language), tag(each.tag_id), each.value]
            .filter(Boolean)
            .join(" "),
        )}
      />
      <Section
        title={t("segments")}
        none={t("nothingKnown")}
        lines={known.segments.map((each) => (
          <Reason key={each.segment_id} of={each} />
        ))}
      />
      <Section
        title={t("consents")}
        none={t("noConsents")}
        lines={consentLines(known).map(([purpose, answer, allowed]) =>
          t("knownConsent", {
            purpose,
            answer:
              answer === undefined
                ? t("noAnswer")
                : `${t(answer.granted ? "granted" : "refused")} (${answer.source_id}, ${at(answer.since_us)})`,
            allowed: t(allowed ? "allowed" : "notAllowed"),
          }),
        )}
      />
      <Section
        title={t("messages")}
        none={t("noDeliveries")}
        lines={known.deliveries.map((each) =>
          t("knownMessage", {
            time: at(each.created_at_us),
            destination: each.destination_id,
            because: each.journey_id || each.segment_id,
            state: word(each.state, "DELIVERY_STATE_", i18n.language),
          }),
        )}
      />
      <Section
        title={t("journeys")}
        none={t("noRunsOfPerson")}
        lines={known.journeys.map(
          (each) => `${each.journey_id}: ${at(each.begun_at_us)}, ${runState(each, i18n.language)}`,
        )}
      />
      <Section
        title={t("tickets")}
        none={t("noTickets")}
        lines={known.tickets.map(
          ({ ticket }) =>
            `${at(ticket?.opened_at_us)} ${ticket?.title}: ${word(ticket?.state, "TICKET_STATE_", i18n.language)}`,
        )}
      />
      <Section
        title={t("knownEvents", { events: number(profile.event_count, i18n.language) })}
        none={t("noEvents")}
        lines={known.timeline.map(
          (each) =>
            `${at(each.occurred_at_us)} ${each.name || word(each.timeline_kind, "TIMELINE_KIND_", i18n.language)} (${each.source_id})`,
        )}
      />
    </>
  );
}

function runState(run: Schemas["activation.v1.JourneyRun"], language: string): string {
  return run.state === "RUN_STATE_ENDED"
    ? word(run.end_reason, "RUN_END_", language)
    : word(run.state, "RUN_STATE_", language);
}

/** Returns each purpose with the answer of the person, and whether its messages may be sent. */
function consentLines(
  known: Known,
): [string, Schemas["profile.v1.Consent"] | undefined, boolean][] {
  const answers = new Map((known.profile.consents ?? []).map((each) => [each.purpose ?? "", each]));
  const purposes = new Set([...answers.keys(), ...Object.keys(known.purposes)]);
  return [...purposes].sort().map((purpose) => {
    const answer = answers.get(purpose);
    return [purpose, answer, isAllowed(known.purposes[purpose], answer)];
  });
}

/** Why the person is in a segment: its rule, and the parts of it that hold with their values. */
function Reason(props: { of: Membership }) {
  const { i18n } = useTranslation();
  const { segment_id, explanation } = props.of;
  const isChinese = i18n.language === "zh";
  return (
    <>
      {segment_id}: {isChinese ? explanation?.rule_text_chinese : explanation?.rule_text}
      <ul>
        {holding(explanation?.root).map((part, index) => (
          <li key={index}>
            {isChinese ? part.text_chinese : part.text}
            {part.actual == null ? "" : ` = ${valueText(part.actual)}`}
          </li>
        ))}
      </ul>
    </>
  );
}

type Part = Schemas["profile.v1.ExplainedPart"];

/** Returns the leaves of an explanation that hold. */
function holding(part: Part | undefined): Part[] {
  if (!part?.holds) return [];
  const children = (part.children ?? []).flatMap(holding);
  return children.length ? children : [part];
}
