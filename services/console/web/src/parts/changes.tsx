// Who enters and leaves a segment while the page is open, the newest first.
import { Card, Tag } from "antd";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { type Schemas, stream } from "../api/client";
import { instant } from "../format";
import { word } from "../words";
import { GREY } from "./colours";
import { LiveState, useLive } from "./live";
import { Person, useNames } from "./people";
import { Rows } from "./rows";

type Change = Schemas["segment.v1.MembershipChange"];
type Message = Schemas["segment.v1.WatchMembershipsResponse"];
const MOST = 100;

export function Changes(props: { segment: string }) {
  const { t, i18n } = useTranslation();
  const [changes, setChanges] = useState<Change[]>([]);
  const shownUpTo = useRef<Message["position"]>(undefined);
  const live = useLive(props.segment, false, (signal, hasArrived) => {
    const from_position = shownUpTo.current;
    const body = { segment_ids: [props.segment], ...(from_position && { from_position }) };
    return stream("/api/segment/WatchMemberships", body, signal, (message) => {
      const { changes: found = [], position } = message as Message;
      shownUpTo.current = position;
      hasArrived();
      if (found.length) setChanges((old) => [...found].reverse().concat(old).slice(0, MOST));
    });
  });
  const names = useNames(changes.map((each) => each.profile_id ?? ""));
  return (
    <Card title={t("changesNow")} style={{ marginTop: 16 }}>
      <LiveState live={live} />
      <Rows
        size="small"
        rowKey={(row) => `${row.profile_id} ${row.ordinal}`}
        pagination={{ hideOnSinglePage: true, pageSize: 20 }}
        locale={{ emptyText: <span style={{ color: GREY }}>{t("noChanges")}</span> }}
        dataSource={changes}
        columns={[
          { title: t("time"), render: (_, row) => instant(row.changed_at_us, i18n.language) },
          { title: t("change"), render: (_, row) => <Tag>{t(row.entered ? "entered" : "left")}</Tag> },
          {
            title: t("profile"),
            render: (_, row) => <Person id={row.profile_id} name={names.get(row.profile_id ?? "")} />,
          },
          {
            title: t("because"),
            render: (_, row) => word(row.cause, "MEMBERSHIP_CAUSE_", i18n.language),
          },
        ]}
      />
    </Card>
  );
}
