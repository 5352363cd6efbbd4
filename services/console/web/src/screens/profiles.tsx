// Finds a profile by any of its identifiers, and lists all profiles page by page.
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { Alert, Button, Input, Table, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";

import { call, CallError } from "../api/client";
import { identifierText, instant, number, readSearch, valueText } from "../format";
import { Shown, useFailureText } from "../parts/states";

const PAGE = 50;

export default function Profiles() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const text = useFailureText();
  const search = useMutation({
    mutationFn: (entered: string) => call("/api/profile/GetProfile", readSearch(entered)),
    onSuccess: (answer) => void navigate(`/profiles/${answer.profile.profile_id}`),
  });
  const query = useInfiniteQuery({
    queryKey: ["profiles"],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      call("/api/profile/ListProfiles", { page_size: PAGE, page_token: pageParam }, signal),
    getNextPageParam: (page) => page.next_page_token || undefined,
  });
  const rows = query.data?.pages.flatMap((page) => page.profiles) ?? [];
  return (
    <>
      <Typography.Title level={2}>{t("profiles")}</Typography.Title>
      <Input.Search
        size="large"
        aria-label={t("search")}
        placeholder={t("searchHint")}
        enterButton={t("search")}
        loading={search.isPending}
        style={{ maxWidth: 640, marginBottom: 16 }}
        onSearch={(entered) => entered.trim() && search.mutate(entered)}
      />
      {search.error && (
        <Alert
          type="warning"
          showIcon
          style={{ marginBottom: 16 }}
          title={
            search.error instanceof CallError && search.error.code === "not_found"
              ? t("notFound")
              : text(search.error)
          }
        />
      )}
      <Shown query={query} empty={rows.length === 0 && t("noProfiles")}>
        <Table
          rowKey="profile_id"
          pagination={false}
          scroll={{ x: true }}
          dataSource={rows}
          columns={[
            {
              title: t("profile"),
              render: (_, row) => (
                <Link to={`/profiles/${row.profile_id}`}>
                  {valueText(row.traits?.find((trait) => trait.name === "name")?.value ?? "") ||
                    identifierText(row.identifiers?.[0]) ||
                    row.profile_id}
                </Link>
              ),
            },
            {
              title: t("identifiers"),
              render: (_, row) => (row.identifiers ?? []).slice(0, 3).map(identifierText).join(", "),
            },
            {
              title: t("tags"),
              render: (_, row) =>
                (row.tags ?? [])
                  .map((tag) => (tag.value ? `${tag.tag_id}=${tag.value}` : tag.tag_id))
                  .join(", "),
            },
            { title: t("events"), render: (_, row) => number(row.event_count, i18n.language) },
            { title: t("lastSeen"), render: (_, row) => instant(row.last_seen_us, i18n.language) },
          ]}
        />
        {query.hasNextPage && (
          <Button
            style={{ marginTop: 16 }}
            loading={query.isFetchingNextPage}
            onClick={() => void query.fetchNextPage()}
          >
            {t("more")}
          </Button>
        )}
      </Shown>
    </>
  );
}
