// One ticket: what has happened to it, and what an agent does with it.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Card, Descriptions, Input, Space, Timeline, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useParams } from "react-router";

import { awaitToken, call, type Schemas } from "../../api/client";
import { instant, valueText } from "../../format";
import { Person, useNames } from "../../parts/people";
import { Shown, useFailureText } from "../../parts/states";
import { useTitles } from "../../parts/titles";
import { useSession } from "../../session";
import { term, word } from "../../words";
import { Limits, type Ticket } from "./table";

type Change = Omit<Schemas["activation.v1.UpdateTicketRequest"], "ticket_id" | "request_id">;

export default function TicketView() {
  const { t, i18n } = useTranslation();
  const { caller } = useSession();
  const id = useParams()["id"] ?? "";
  const query = useQuery({
    queryKey: ["ticket", id],
    queryFn: ({ signal }) => call("/api/activation/GetTicket", { ticket_id: id }, signal),
  });
  const ticket: Ticket = query.data?.ticket ?? {};
  const queue = useTitles("queue");
  const names = useNames([ticket.profile_id ?? ""]);
  return (
    <>
      <Typography.Title level={2}>{ticket.title || t("ticket")}</Typography.Title>
      <Shown query={query}>
        <Card>
          <Descriptions
            column={{ xs: 1, md: 2 }}
            items={[
              {
                label: t("profile"),
                children: (
                  <Person id={ticket.profile_id} name={names.get(ticket.profile_id ?? "")} />
                ),
              },
              { label: t("state"), children: word(ticket.state, "TICKET_STATE_", i18n.language) },
              { label: t("kind"), children: term(ticket.kind, i18n.language) },
              { label: t("queue"), children: queue(ticket.queue_id) },
              { label: t("agent"), children: ticket.agent_id || t("noAgent") },
              { label: t("opened"), children: instant(ticket.opened_at_us, i18n.language) },
              { label: t("due"), children: <Limits ticket={ticket} /> },
            ]}
          />
          {caller.role !== "ROLE_READER" && (
            <Actions ticket={ticket} entries={query.data?.entries.length ?? 0} />
          )}
        </Card>
        <Card title={t("history")} style={{ marginTop: 16 }}>
          <Timeline
            items={(query.data?.entries ?? []).map((each, index) => ({
              key: index,
              content: (
                <>
                  <Typography.Text strong>{word(each.event, "", i18n.language)}</Typography.Text>{" "}
                  {instant(each.occurred_at_us, i18n.language)}
                  <Properties of={each.properties} />
                </>
              ),
            }))}
          />
        </Card>
      </Shown>
    </>
  );
}

/** The properties of an entry, without those that each entry of a ticket has. */
const OF_ALL = ["ticket_id", "queue_id", "kind", "title"];

function Properties(props: { of: unknown }) {
  const own = Object.entries((props.of ?? {}) as Record<string, unknown>).filter(
    ([name, value]) => !OF_ALL.includes(name) && value !== "" && value !== 0,
  );
  if (own.length === 0) return null;
  return (
    <div style={{ overflowWrap: "anywhere" }}>
      {own.map(([name, value]) => `${name}: ${valueText(value)}`).join(", ")}
    </div>
  );
}

/** `entries`: how many the shown history has. */
function Actions(props: { ticket: Ticket; entries: number }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [agent, setAgent] = useState("");
  const id = props.ticket.ticket_id ?? "";
  const update = useMutation({
    mutationFn: async (change: Change) => {
      // Whoever does the same with the same history, or once more, does it once.
      const request_id = `after-${props.entries}-${change.assign?.agent_id ?? ""}`;
      const { token } = await call("/api/activation/UpdateTicket", {
        ticket_id: id,
        request_id,
        ...change,
      });
      await awaitToken(token);
    },
    onSuccess: () => {
      setAgent("");
      void queries.invalidateQueries({ queryKey: ["ticket", id] });
      void queries.invalidateQueries({ queryKey: ["tickets"] });
    },
    onError: (error) => void message.error(failure(error)),
  });
  const isOpen = props.ticket.state === "TICKET_STATE_OPEN";
  const isWaiting = props.ticket.state === "TICKET_STATE_WAITING";
  const button = (name: "answerTicket" | "waitForPerson" | "resolve" | "cancelTicket" | "reopen", change: Change) => (
    <Button disabled={update.isPending} onClick={() => update.mutate(change)}>
      {t(name)}
    </Button>
  );
  return (
    <Space wrap style={{ marginTop: 8 }}>
      {isOpen && button("answerTicket", { answer: {} })}
      {isOpen && button("waitForPerson", { wait: {} })}
      {(isOpen || isWaiting) && button("resolve", { resolve: {} })}
      {(isOpen || isWaiting) && button("cancelTicket", { resolve: { cancelled: true } })}
      {!isOpen && button("reopen", { reopen: {} })}
      <Space.Compact>
        <Input
          aria-label={t("agent")}
          placeholder={t("anyAgent")}
          value={agent}
          onChange={(event) => setAgent(event.target.value)}
        />
        <Button
          disabled={update.isPending}
          onClick={() => update.mutate({ assign: { agent_id: agent.trim() } })}
        >
          {t("assign")}
        </Button>
      </Space.Compact>
    </Space>
  );
}
