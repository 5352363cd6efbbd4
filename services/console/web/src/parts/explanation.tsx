// An explanation as a tree: each part of a rule with a tick or a cross, its value and its facts.
import { Tree, type TreeDataNode, Typography } from "antd";
import { useTranslation } from "react-i18next";

import type { Schemas } from "../api/client";
import { valueText } from "../format";

type Part = Schemas["profile.v1.ExplainedPart"];

export function ExplanationTree(props: { root: Part }) {
  const { i18n } = useTranslation();
  const nodes = [node(props.root, "0", i18n.language)];
  return <Tree defaultExpandAll selectable={false} treeData={nodes} />;
}

function node(part: Part, key: string, language: string): TreeDataNode {
  const text = (language === "zh" ? part.text_chinese : part.text) ?? "";
  return {
    key,
    title: (
      <span>
        <span aria-label={part.holds ? "true" : "false"}>{part.holds ? "✓" : "✗"}</span> {text}
        {part.actual != null && (
          <Typography.Text type="secondary"> = {valueText(part.actual)}</Typography.Text>
        )}
        {(part.fact_ids ?? []).slice(0, 5).map((id) => (
          <a key={String(id)} href={`#fact-${String(id)}`} style={{ marginLeft: 8 }}>
            <code>{String(id).slice(0, 8)}</code>
          </a>
        ))}
      </span>
    ),
    children: (part.children ?? []).map((child, index) => node(child, `${key}-${index}`, language)),
  };
}
