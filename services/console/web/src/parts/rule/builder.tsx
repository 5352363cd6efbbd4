// Builds a rule of nested groups; what has no fields is edited as text, where it stands.
import { Button, Card, Flex, Select, Space } from "antd";
import { useTranslation } from "react-i18next";

import { PredicateFields } from "./predicate";
import { entry, type Form, group, isGroup, JOINS, rulesOf } from "./tree";

const NEW: Form = { count: { event: "", at_least: 1 } };

export function RuleBuilder(props: {
  form: Form;
  onChange: (form: Form) => void;
  onRemove?: (() => void) | undefined;
  /** Where the rule is, such as `1.2`. */
  path?: string;
}) {
  const { t } = useTranslation();
  const { form, onChange, onRemove, path = "1" } = props;
  const remove = onRemove && (
    <Button aria-label={`${t("remove")} ${path}`} onClick={onRemove}>
      {t("remove")}
    </Button>
  );
  if (!isGroup(form))
    return (
      <Flex wrap gap="small" align="center" data-rule={path}>
        <PredicateFields form={form} onChange={onChange} path={path} />
        {remove}
      </Flex>
    );
  const [join] = entry(form);
  const rules = rulesOf(form);
  const set = (index: number, rule: Form) =>
    onChange(group(join, rules.map((each, at) => (at === index ? rule : each))));
  const isFull = join === "not" && rules.length > 0;
  const add = (rule: Form) => onChange(group(join, [...rules, rule]));
  return (
    <Card size="small" data-rule={path} style={{ width: "100%" }}>
      <Flex vertical gap="small">
        <Space wrap>
          <Select
            aria-label={`${t("join")} ${path}`}
            style={{ width: 160 }}
            value={join}
            onChange={(next: string) => onChange(group(next, rules))}
            options={JOINS.map((each) => ({ value: each, label: t(`join_${each}`) }))}
          />
          {!isFull && (
            <>
              <Button aria-label={`${t("addRule")} ${path}`} onClick={() => add(NEW)}>
                {t("addRule")}
              </Button>
              <Button
                aria-label={`${t("addGroup")} ${path}`}
                onClick={() => add({ all: [NEW] })}
              >
                {t("addGroup")}
              </Button>
            </>
          )}
          {remove}
        </Space>
        {rules.map((rule, index) => (
          <RuleBuilder
            key={index}
            form={rule}
            path={`${path}.${index + 1}`}
            onChange={(next) => set(index, next)}
            onRemove={() => onChange(group(join === "not" ? "all" : join, rules.filter((_, at) => at !== index)))}
          />
        ))}
      </Flex>
    </Card>
  );
}
