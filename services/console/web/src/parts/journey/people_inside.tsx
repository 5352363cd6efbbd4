// What a new version of a journey does with the people inside, and what is likely to be a mistake.
import { Alert } from "antd";
import { useTranslation } from "react-i18next";

import { number } from "../../format";
import { word } from "../../words";
import type { Defined } from "../definition_kinds";
import { Rows } from "../rows";

export function PeopleInside(props: { defined: Defined }) {
  const { t, i18n } = useTranslation();
  const { people = [], warnings = [] } = props.defined;
  return (
    <>
      {warnings.map((each) => (
        <Alert
          key={`${each.at} ${each.problem}`}
          type="warning"
          showIcon
          style={{ marginTop: 8 }}
          title={`${each.at}: ${each.problem}`}
          description={each.remedy}
        />
      ))}
      {people.length > 0 && (
        <Rows
          size="small"
          style={{ marginTop: 8 }}
          rowKey={(row) => row.step_id ?? ""}
          pagination={false}
          title={() => t("peopleInside")}
          dataSource={people}
          columns={[
            { title: t("step"), render: (_, row) => row.step_id || t("afterLast") },
            { title: t("people"), render: (_, row) => number(row.runs, i18n.language) },
            {
              title: t("becomes"),
              render: (_, row) => word(row.what, "PEOPLE_INSIDE_", i18n.language),
            },
            { title: t("to"), dataIndex: "target_step_id" },
          ]}
        />
      )}
    </>
  );
}
