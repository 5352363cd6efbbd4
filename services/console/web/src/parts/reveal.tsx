// Shows the sensitive values of one person for a reason, which the audit keeps; they are hidden
// again when the page is left, and after some minutes.
import { Button, Input, Modal, Typography } from "antd";
import { type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";

import { useSession } from "../session";

const SHOWN_MS = 300_000;
/** The characters of a reason, as the services accept it. */
const LEAST = 3;
const MOST = 200;

/** Returns the reason for which values are shown (empty = they are masked), and the button. */
export function useReveal(id: string): [string, ReactNode] {
  const { t } = useTranslation();
  const { caller } = useSession();
  const [shown, setShown] = useState({ id, reason: "" });
  const [isOpen, setIsOpen] = useState(false);
  const [entered, setEntered] = useState("");
  // Of another person nothing is shown.
  const reason = shown.id === id ? shown.reason : "";
  useEffect(() => {
    if (!reason) return;
    const timer = setTimeout(() => setShown({ id, reason: "" }), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [id, reason]);
  if (caller.role === "ROLE_READER") return ["", null];
  if (reason) return [reason, <Button onClick={() => setShown({ id, reason: "" })}>{t("hideAgain")}</Button>];
  const reveal = () => {
    setShown({ id, reason: entered.trim() });
    setEntered("");
    setIsOpen(false);
  };
  return [
    "",
    <>
      <Button onClick={() => setIsOpen(true)}>{t("reveal")}</Button>
      <Modal
        open={isOpen}
        title={t("reveal")}
        okText={t("show")}
        okButtonProps={{ disabled: entered.trim().length < LEAST }}
        onOk={reveal}
        onCancel={() => setIsOpen(false)}
      >
        <Typography.Paragraph>{t("revealHint")}</Typography.Paragraph>
        <label htmlFor="reveal-reason">{t("reason")}</label>
        <Input
          id="reveal-reason"
          autoComplete="off"
          maxLength={MOST}
          value={entered}
          onChange={(event) => setEntered(event.target.value)}
        />
      </Modal>
    </>,
  ];
}

/** How a query of sensitive values is kept: not at all once they are hidden, and it is not repeated,
    as each call with a reason is an entry of the audit. */
export function keptFor(reason: string, refetchInterval: number | false) {
  return reason
    ? { gcTime: 0, staleTime: Infinity, refetchInterval: false as const }
    : { refetchInterval };
}
