// The tags and the sets of stages, with the number of people of each value.
import { useQuery } from "@tanstack/react-query";
import { Tag, Typography } from "antd";
import { useTranslation } from "react-i18next";

import { call } from "../api/client";
import { number } from "../format";
import { Rows } from "../parts/rows";
import { Shown } from "../parts/states";
import { word } from "../words";

export default function Tags() {
  const { t, i18n } = useTranslation();
  const query = useQuery({
    queryKey: ["tags"],
    queryFn: async ({ signal }) => {
      const [tags, sizes] = await Promise.all([
        call("/api/profile/ListTags", {}, signal),
        call("/api/segment/ListSegments", {}, signal),
      ]);
      return tags.tags.map(({ tag }) => {
        const id = tag?.tag_id ?? "";
        const prefixes = [`tag:${id}`, `stage:${id}`];
        const values = sizes.tags.filter(({ segment_id }) =>
          prefixes.some((prefix) => segment_id === prefix || segment_id?.startsWith(`${prefix}=`)),
        );
        return { id, tag, values };
      });
    },
  });
  return (
    <>
      <Typography.Title level={2}>{t("tags")}</Typography.Title>
      <Shown query={query} empty={query.data?.length === 0 && t("noTags")}>
        <Rows
          rowKey="id"
          pagination={{ hideOnSinglePage: true }}
          dataSource={query.data ?? []}
          columns={[
            { title: t("tag"), render: (_, row) => row.tag?.title || row.id },
            { title: "", render: (_, row) => <Tag>{word(row.tag?.kind, "TAG_KIND_", i18n.language)}</Tag> },
            {
              title: t("size"),
              render: (_, row) =>
                row.values.map((each) => (
                  <Tag key={each.segment_id}>
                    {each.segment_id?.split("=").slice(1).join("=") || t("all")}: {number(each.size, i18n.language)}
                  </Tag>
                )),
            },
            { title: t("version"), render: (_, row) => row.tag?.version },
          ]}
        />
      </Shown>
    </>
  );
}
