// Draws identifiers and the evidence between them: those of the person inside, others around.
import { Grid } from "antd";
import { useTranslation } from "react-i18next";

import type { Schemas } from "../api/client";
import { identifierText } from "../format";
import { word } from "../words";
import { BLUE, BROWN, GREEN, PAPER, RED, TEXT } from "./colours";

type Graph = Required<Schemas["identity.v1.GetGraphResponse"]>;
const MOST = 40;

/** How large a graph is drawn: on a telephone it is narrow, with short letters and a row a node. */
interface Size {
  width: number;
  height: number;
  letters: number;
}
const WIDE: Size = { width: 900, height: 520, letters: 34 };
const narrow = (nodes: number): Size => ({
  width: 340,
  height: Math.max(360, 30 * nodes),
  letters: 20,
});
const COLOURS = { own: BLUE, other: BROWN, link: GREEN, held: RED };

interface Node {
  x: number;
  y: number;
  own: boolean;
}

/** Returns a text of at most some letters: the end of an identifier tells it from others. */
function shortened(text: string, letters: number): string {
  return text.length > letters ? `${text.slice(0, letters - 9)}…${text.slice(-8)}` : text;
}

/** Returns the size of a graph, and the places of the identifiers by their texts: own ones on an inner
 * ring. */
function layOut(graph: Graph, isWide: boolean): [Size, Map<string, Node>] {
  const own = graph.identifiers.map((each) => identifierText(each.identifier)).slice(0, MOST);
  const ends = graph.edges.flatMap(({ edge }) => [identifierText(edge?.a), identifierText(edge?.b)]);
  const all = new Set(graph.identifiers.map((each) => identifierText(each.identifier)));
  const others = [...new Set(ends)].filter((text) => text && !all.has(text)).slice(0, MOST);
  const size = isWide ? WIDE : narrow(own.length + others.length);
  const ring = (texts: string[], share: number, isOwn: boolean): [string, Node][] =>
    texts.map((text, index) => {
      const angle = (2 * Math.PI * (index + (isOwn ? 0 : 0.5))) / texts.length - Math.PI / 2;
      const radius = texts.length === 1 && isOwn ? 0 : share;
      return [
        text,
        {
          x: size.width / 2 + radius * size.width * (isWide ? 0.38 : 0.3) * Math.cos(angle),
          y: size.height / 2 + radius * size.height * 0.44 * Math.sin(angle),
          own: isOwn,
        },
      ];
    });
  const places = new Map([
    ...ring(own, others.length ? 0.5 : 0.9, true),
    ...ring(others, 1, false),
  ]);
  return [size, places];
}

export function IdentityGraph(props: { graph: Graph }) {
  const { t, i18n } = useTranslation();
  const isWide = Grid.useBreakpoint().md ?? false;
  const [size, places] = layOut(props.graph, isWide);
  return (
    <div style={{ overflowX: "auto" }} tabIndex={0} role="group" aria-label={t("graph")}>
      <svg
        role="img"
        aria-label={t("graph")}
        viewBox={`0 0 ${size.width} ${size.height}`}
        style={isWide ? { width: "100%", minWidth: 640, maxHeight: 560 } : { width: "100%" }}
      >
        {props.graph.edges.map(({ edge }, index) => {
          const a = places.get(identifierText(edge?.a));
          const b = places.get(identifierText(edge?.b));
          if (!a || !b) return null;
          const held = edge?.held_reason !== undefined && edge.held_reason !== "HELD_REASON_UNSPECIFIED";
          return (
            <line
              key={index}
              x1={a.x}
              y1={a.y}
              x2={b.x}
              y2={b.y}
              style={{ stroke: held ? COLOURS.held : COLOURS.link }}
              strokeWidth={2}
              {...(held ? { strokeDasharray: "6 5" } : {})}
            >
              <title>
                {word(edge?.kind, "EVIDENCE_KIND_", i18n.language)}
                {held ? `: ${word(edge.held_reason, "HELD_REASON_", i18n.language)}` : ""}
              </title>
            </line>
          );
        })}
        {[...places].map(([text, node]) => (
          <g key={text}>
            <circle
              cx={node.x}
              cy={node.y}
              r={7}
              style={{ fill: node.own ? COLOURS.own : COLOURS.other }}
            />
            <text
              x={node.x}
              y={node.y - 14}
              textAnchor="middle"
              fontSize={13}
              strokeWidth={4}
              paintOrder="stroke"
              style={{ fill: TEXT, stroke: PAPER }}
            >
              {shortened(text, size.letters)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}
