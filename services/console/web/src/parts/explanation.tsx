// An explanation as a tree: each part of a rule with a tick or a cross, its value and its facts.
import { Tree, type TreeDataNode, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useLocation } from "react-router";

import type { Schemas } from "../api/client";
import { valueText } from "../format";

type Part = Schemas["profile.v1.ExplainedPart"];
const FACTS = 5;

/** A link to a fact in the timeline of the person that is shown. */
export function Fact(props: { id: string }) {
  const { search } = useLocation();
  return (
    <Link
      to={{ search, hash: `fact-${props.id}` }}
      style={{ marginInlineEnd: 8 }}
      // A tree that the link is in takes the keys else.
      onKeyDown={(event) => event.stopPropagation()}
    >
      <code>{props.id.slice(0, 8)}</code>
    </Link>
  );
}

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
        <span role="img" aria-label={part.holds ? "✓" : "✗"}>
          {part.holds ? "✓" : "✗"}
        </span>{" "}
        {text}{" "}
        {part.actual != null && (
          <Typography.Text type="secondary">= {valueText(part.actual)} </Typography.Text>
        )}
        {(part.fact_ids ?? []).slice(0, FACTS).map((id) => (
          <Fact key={id} id={id} />
        ))}
      </span>
    ),
    children: (part.children ?? []).map((child, index) => node(child, `${key}-${index}`, language)),
  };
}
