// The button below a list that loads its next page.
import { Button } from "antd";
import { useTranslation } from "react-i18next";

interface Paged {
  hasNextPage: boolean;
  isFetchingNextPage: boolean;
  fetchNextPage: () => unknown;
}

export function More(props: { query: Paged }) {
  const { t } = useTranslation();
  if (!props.query.hasNextPage) return null;
  return (
    <Button
      style={{ marginTop: 16 }}
      loading={props.query.isFetchingNextPage}
      onClick={() => void props.query.fetchNextPage()}
    >
      {t("more")}
    </Button>
  );
}
