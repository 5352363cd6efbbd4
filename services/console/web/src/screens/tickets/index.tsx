// The tickets and tasks: as a list with filters, and as a board with a column a state.
import { useInfiniteQuery, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { Badge, Button, Card, Checkbox, Flex, Segmented, Space, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import { call, type Schemas } from "../../api/client";
import { number } from "../../format";
import { useAddress } from "../../parts/address";
import { Choice } from "../../parts/choice";
import { Head } from "../../parts/head";
import { More } from "../../parts/more";
import { Person, useNames } from "../../parts/people";
import { Rows } from "../../parts/rows";
import { Shown } from "../../parts/states";
import { word } from "../../words";
import { Limits, TicketTable } from "./table";

type State = Schemas["activation.v1.TicketState"];
type Queue = Schemas["activation.v1.QueueSummary"];
const STATES: State[] = [
  "TICKET_STATE_OPEN",
  "TICKET_STATE_WAITING",
  "TICKET_STATE_RESOLVED",
  "TICKET_STATE_CANCELLED",
];
const PAGE = 50;
const REFRESH_MS = 10_000;

export default function Tickets() {
  const { t, i18n } = useTranslation();
  const [search, set] = useAddress();
  const isBoard = search.get("view") === "board";
  const queues = useQuery({
    queryKey: ["queues"],
    queryFn: ({ signal }) => call("/api/activation/ListQueues", {}, signal),
  });
  const found = queues.data?.queues ?? [];
  const agents = new Set(
    found.flatMap(({ queue, loads }) => [
      ...(queue?.agents ?? []).map((each) => each.agent_id ?? ""),
      ...(loads ?? []).map((each) => each.agent_id ?? ""),
    ]),
  );
  agents.delete("");
  return (
    <>
      <Head>
        <Typography.Title level={2}>{t("tickets")}</Typography.Title>
        <Link to="/definitions/queue">
          <Button>{t("kind_queue")}</Button>
        </Link>
      </Head>
      <Queues query={queues} />
      <Space wrap style={{ margin: "16px 0" }}>
        <Segmented
          aria-label={t("view")}
          value={isBoard ? "board" : "list"}
          onChange={(view) => set("view", view === "board" ? view : undefined)}
          options={[
            { value: "list", label: t("list") },
            { value: "board", label: t("board") },
          ]}
        />
        <Choice
          name="queue"
          label={t("queue")}
          options={found.map(({ queue }) => ({
            value: queue?.queue_id ?? "",
            label: queue?.title || (queue?.queue_id ?? ""),
          }))}
        />
        <Choice
          name="agent"
          label={t("agent")}
          options={[...agents].sort().map((each) => ({ value: each, label: each }))}
        />
        {!isBoard && (
          <Choice
            name="state"
            label={t("state")}
            options={STATES.map((each) => ({
              value: each,
              label: word(each, "TICKET_STATE_", i18n.language),
            }))}
          />
        )}
        <Checkbox
          checked={search.has("late")}
          onChange={(event) => set("late", event.target.checked ? "1" : undefined)}
        >
          {t("onlyLate")}
        </Checkbox>
      </Space>
      {isBoard ? <Board /> : <List />}
    </>
  );
}

/** Returns the tickets that the filters of the address select, in a state; page by page. */
function useTickets(state: State | null) {
  const [search] = useAddress();
  const filters = {
    queue_id: search.get("queue") ?? "",
    agent_id: search.get("agent") ?? "",
    breached: search.has("late"),
    ...(state ? { state } : {}),
  };
  return useInfiniteQuery({
    queryKey: ["tickets", filters],
    refetchInterval: REFRESH_MS,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListTickets",
        { ...filters, page_size: PAGE, page_token: pageParam },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
}

function List() {
  const { t } = useTranslation();
  const [search] = useAddress();
  const query = useTickets(search.get("state") as State | null);
  const rows = query.data?.pages.flatMap((page) => page.tickets) ?? [];
  return (
    <Shown query={query} empty={rows.length === 0 && t("noTickets")}>
      <TicketTable rows={rows} />
      <More query={query} />
    </Shown>
  );
}

function Board() {
  return (
    <Flex gap="middle" wrap align="start">
      {STATES.map((each) => (
        <Column key={each} state={each} />
      ))}
    </Flex>
  );
}

function Column(props: { state: State }) {
  const { t, i18n } = useTranslation();
  const query = useTickets(props.state);
  const rows = query.data?.pages.flatMap((page) => page.tickets) ?? [];
  const names = useNames(rows.map((each) => each.profile_id ?? ""));
  return (
    <Card
      size="small"
      style={{ flex: "1 1 230px" }}
      title={word(props.state, "TICKET_STATE_", i18n.language)}
    >
      <Shown query={query} empty={rows.length === 0 && t("noTickets")}>
        <Flex vertical gap="small">
          {rows.map((row) => (
            <Card key={row.ticket_id} size="small">
              <Link to={`/tickets/${row.ticket_id}`}>{row.title}</Link>
              <div>
                <Person id={row.profile_id} name={names.get(row.profile_id ?? "")} /> {row.agent_id}
              </div>
              <Limits ticket={row} />
            </Card>
          ))}
        </Flex>
        <More query={query} />
      </Shown>
    </Card>
  );
}

/** What is open in each queue, by agent. */
function Queues(props: { query: UseQueryResult<{ queues: Queue[] }> }) {
  const { t, i18n } = useTranslation();
  const [, set] = useAddress();
  const rows = (props.query.data?.queues ?? []).flatMap(({ queue, loads }) =>
    (loads ?? []).map((load) => ({ ...load, queue, key: `${queue?.queue_id} ${load.agent_id}` })),
  );
  return (
    <Shown query={props.query} empty={props.query.data?.queues.length === 0 && t("noQueues")}>
      {rows.length > 0 && (
        <Rows
          size="small"
          rowKey="key"
          pagination={{ hideOnSinglePage: true }}
          dataSource={rows}
          columns={[
            { title: t("queue"), render: (_, row) => row.queue?.title || row.queue?.queue_id },
            {
              title: t("agent"),
              render: (_, row) =>
                row.agent_id ? (
                  <Button size="small" onClick={() => set("agent", row.agent_id)}>
                    {row.agent_id}
                  </Button>
                ) : (
                  t("noAgent")
                ),
            },
            {
              title: word("TICKET_STATE_OPEN", "TICKET_STATE_", i18n.language),
              render: (_, row) => number(row.open, i18n.language),
            },
            {
              title: word("TICKET_STATE_WAITING", "TICKET_STATE_", i18n.language),
              render: (_, row) => number(row.waiting, i18n.language),
            },
            {
              title: t("late"),
              render: (_, row) => <Badge showZero count={row.breached ?? 0} color={row.breached ? "#a8071a" : "#595959"} />,
            },
          ]}
        />
      )}
    </Shown>
  );
}
