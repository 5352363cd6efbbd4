// The tickets about a person; another one is opened.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button, Card, Form, Input, Select } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { awaitToken, call, type Schemas } from "../../api/client";
import { More } from "../../parts/more";
import { Shown, useFailureText } from "../../parts/states";
import { useSession } from "../../session";
import { TicketTable } from "../tickets/table";

export function Tickets(props: { id: string; identifiers: Schemas["type.v1.Identifier"][] }) {
  const { t } = useTranslation();
  const { caller } = useSession();
  const query = useInfiniteQuery({
    queryKey: ["tickets", "of", props.id],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call(
        "/api/activation/ListTickets",
        { profile_id: props.id, page_size: 10, page_token: pageParam },
        signal,
      ),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.tickets) ?? [];
  return (
    <Card title={t("tickets")} style={{ marginTop: 16 }}>
      <Shown query={query} empty={rows.length === 0 && t("noTickets")}>
        <TicketTable rows={rows} ofOne />
        <More query={query} />
      </Shown>
      {caller.role !== "ROLE_READER" && props.identifiers.length > 0 && (
        <Open identifiers={props.identifiers} />
      )}
    </Card>
  );
}

interface New {
  queue_id: string;
  title: string;
}

function Open(props: { identifiers: Schemas["type.v1.Identifier"][] }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [form] = Form.useForm<New>();
  // The same ticket, entered once more after a lost answer, is opened once.
  const [attempt, setAttempt] = useState(randomId);
  const queues = useQuery({
    queryKey: ["queues"],
    queryFn: ({ signal }) => call("/api/activation/ListQueues", {}, signal),
  });
  const open = useMutation({
    mutationFn: async (made: New) => {
      const { token } = await call("/api/activation/OpenTicket", {
        ...made,
        identifiers: props.identifiers,
        channel: "console",
        request_id: attempt,
      });
      await awaitToken(token);
    },
    onSuccess: () => {
      setAttempt(randomId());
      form.resetFields();
      void queries.invalidateQueries({ queryKey: ["tickets"] });
    },
    onError: (error) => void message.error(failure(error)),
  });
  const found = (queues.data?.queues ?? []).filter(({ queue }) => !queue?.retired);
  if (found.length === 0) return null;
  return (
    <Form
      form={form}
      layout="inline"
      style={{ marginTop: 16, rowGap: 8 }}
      onFinish={(made) => open.mutate(made)}
    >
      <Form.Item name="queue_id" rules={[{ required: true, message: "" }]}>
        <Select
          aria-label={t("queue")}
          placeholder={t("queue")}
          style={{ width: 160 }}
          options={found.map(({ queue }) => ({
            value: queue?.queue_id ?? "",
            label: queue?.title || (queue?.queue_id ?? ""),
          }))}
        />
      </Form.Item>
      <Form.Item name="title" rules={[{ required: true, message: "" }]}>
        <Input aria-label={t("about")} placeholder={t("about")} />
      </Form.Item>
      <Button htmlType="submit" loading={open.isPending}>
        {t("openTicket")}
      </Button>
    </Form>
  );
}

/** Returns 32 random hexadecimal digits, also where the page is not served over TLS. */
function randomId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
