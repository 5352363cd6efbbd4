// The states of what is loaded: loading, failed, empty, and there.
import { Alert, Button, Empty, Skeleton } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CallError, UNREACHABLE } from "../api/client";

/** Returns what a failure says, in the language of the page where the page knows it. */
export function useFailureText(): (error: unknown) => string {
  const { t } = useTranslation();
  return (error) => {
    if (!(error instanceof CallError)) return String(error);
    if (!error.reason && error.code === "unavailable")
      return t(error.message === UNREACHABLE ? "unreachable" : "serviceAway");
    if (!error.reason && error.code === "deadline_exceeded") return t("tooSlow");
    if (error.reason === "NOT_ALLOWED") return t("noRight");
    return error.message;
  };
}

interface Loaded {
  data: unknown;
  isPending: boolean;
  error: unknown;
  refetch: () => unknown;
}

/**
 * Shows `children` once the query has its data, `empty` where there is nothing to show. What is
 * there stays when loading it again fails, as `keep` does while nothing is loaded.
 */
export function Shown(props: {
  query: Loaded;
  empty?: string | false | undefined;
  /** Whether there is something to show already, such as what a person has entered. */
  keep?: boolean;
  children: ReactNode;
}) {
  const { t } = useTranslation();
  const text = useFailureText();
  const { query } = props;
  const isThere = query.data !== undefined || props.keep === true;
  if (query.isPending && !isThere)
    return (
      <div role="status" aria-label={t("loading")}>
        <Skeleton active />
      </div>
    );
  const failure = query.error != null && (
    <Alert
      type={isThere ? "warning" : "error"}
      showIcon
      style={{ marginBottom: 16 }}
      title={t(isThere ? "old" : "failed")}
      description={text(query.error)}
      action={<Button onClick={() => void query.refetch()}>{t("retry")}</Button>}
    />
  );
  return (
    <>
      {failure}
      {isThere && (props.empty ? <Empty description={props.empty} /> : props.children)}
    </>
  );
}
