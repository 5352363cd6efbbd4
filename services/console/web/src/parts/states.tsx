// The states of what is loaded: loading, failed, empty, and there.
import { Alert, Button, Empty, Skeleton } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CallError } from "../api/client";

/** Returns what a failure says, in the language of the page where the page knows it. */
export function useFailureText(): (error: unknown) => string {
  const { t } = useTranslation();
  return (error) => {
    if (!(error instanceof CallError)) return String(error);
    if (error.code === "unavailable" && !error.reason) return t("unreachable");
    if (error.reason === "NOT_ALLOWED") return t("noRight");
    return error.message;
  };
}

interface Loaded {
  isPending: boolean;
  error: unknown;
  refetch: () => unknown;
}

/** Shows `children` once the query has its data, `empty` where there is nothing to show. */
export function Shown(props: {
  query: Loaded;
  empty?: string | false | undefined;
  children: ReactNode;
}) {
  const { t } = useTranslation();
  const text = useFailureText();
  if (props.query.isPending)
    return (
      <div role="status" aria-label={t("loading")}>
        <Skeleton active />
      </div>
    );
  if (props.query.error)
    return (
      <Alert
        type="error"
        showIcon
        title={t("failed")}
        description={text(props.query.error)}
        action={<Button onClick={() => void props.query.refetch()}>{t("retry")}</Button>}
      />
    );
  if (props.empty) return <Empty description={props.empty} />;
  return <>{props.children}</>;
}
