// Records a decision of a person about two identifiers: one person, two persons, or undecided.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Input, Modal, Radio, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { awaitToken, call, type Schemas } from "../api/client";
import { identifierText } from "../format";
import { useFailureText } from "./states";

type Identifier = Schemas["type.v1.Identifier"];
type Decision = Schemas["identity.v1.Decision"];
export interface Pair {
  a: Identifier;
  b: Identifier;
}

export function Decide(props: { pair: Pair; first?: Decision; onEnd: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const failure = useFailureText();
  const queries = useQueryClient();
  const [decision, setDecision] = useState<Decision>(props.first ?? "DECISION_LINK");
  const [reason, setReason] = useState("");
  const { a, b } = props.pair;
  const record = useMutation({
    mutationFn: async () => {
      const { token } = await call("/api/identity/RecordDecision", { a, b, decision, reason });
      // What is shown afterwards includes the decision.
      await awaitToken(token);
    },
    onSuccess: async () => {
      void message.success(t("decisionRecorded"));
      await queries.invalidateQueries();
      props.onEnd();
    },
  });
  return (
    <Modal
      open
      title={t("decide")}
      okText={t("record")}
      okButtonProps={{ disabled: !reason.trim() }}
      confirmLoading={record.isPending}
      onOk={() => record.mutate()}
      onCancel={props.onEnd}
    >
      <p>
        <code>{identifierText(a)}</code> · <code>{identifierText(b)}</code>
      </p>
      <Space orientation="vertical" style={{ width: "100%" }}>
        <Radio.Group
          value={decision}
          onChange={(event) => setDecision(event.target.value as Decision)}
          options={[
            { value: "DECISION_LINK", label: t("onePerson") },
            { value: "DECISION_SEPARATE", label: t("twoPersons") },
            { value: "DECISION_WITHDRAW", label: t("undo") },
          ]}
        />
        <label htmlFor="decision-reason">{t("reason")}</label>
        <Input
          id="decision-reason"
          maxLength={500}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
        {record.error && <Alert type="error" title={failure(record.error)} />}
      </Space>
    </Modal>
  );
}
