// Tickets as rows of a table, with the limits of each.
import { Space, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import type { Schemas } from "../../api/client";
import { instant } from "../../format";
import { Person, useNames } from "../../parts/people";
import { Rows } from "../../parts/rows";
import { useTitles } from "../../parts/titles";
import { term, word } from "../../words";

export type Ticket = Schemas["activation.v1.Ticket"];

/** `ofOne`: all are of one person, who is not shown. */
export function TicketTable(props: { rows: Ticket[]; ofOne?: boolean }) {
  const { t, i18n } = useTranslation();
  const queue = useTitles("queue");
  const names = useNames(props.ofOne ? [] : props.rows.map((each) => each.profile_id ?? ""));
  return (
    <Rows
      size="small"
      rowKey="ticket_id"
      pagination={false}
      dataSource={props.rows}
      columns={[
        { title: t("opened"), render: (_, row) => instant(row.opened_at_us, i18n.language) },
        {
          title: t("title"),
          render: (_, row) => <Link to={`/tickets/${row.ticket_id}`}>{row.title}</Link>,
        },
        { title: t("kind"), render: (_, row) => term(row.kind, i18n.language) },
        {
          title: t("profile"),
          hidden: props.ofOne === true,
          render: (_, row) => <Person id={row.profile_id} name={names.get(row.profile_id ?? "")} />,
        },
        { title: t("queue"), render: (_, row) => queue(row.queue_id) },
        { title: t("agent"), dataIndex: "agent_id" },
        { title: t("state"), render: (_, row) => word(row.state, "TICKET_STATE_", i18n.language) },
        { title: t("due"), render: (_, row) => <Limits ticket={row} /> },
      ]}
    />
  );
}

/** When the next limit of a ticket passes, and those that it has passed. */
export function Limits(props: { ticket: Ticket }) {
  const { t, i18n } = useTranslation();
  const { due_us, breached = [] } = props.ticket;
  return (
    <Space wrap>
      {instant(due_us, i18n.language)}
      {breached.map((each) => (
        <Tag key={each} color="#a8071a">
          {t("late")}: {word(each, "SLA_LIMIT_", i18n.language)}
        </Tag>
      ))}
    </Space>
  );
}
