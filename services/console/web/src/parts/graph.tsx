// Draws identifiers and the evidence between them: those of the person inside, others around.
import { useTranslation } from "react-i18next";

import type { Schemas } from "../api/client";
import { identifierText } from "../format";
import { word } from "../words";
import { BLUE, BROWN, GREEN, PAPER, RED, TEXT } from "./colours";

type Graph = Required<Schemas["identity.v1.GetGraphResponse"]>;
const [WIDTH, HEIGHT, MOST] = [900, 520, 40];
const COLOURS = { own: BLUE, other: BROWN, link: GREEN, held: RED };

interface Node {
  x: number;
  y: number;
  own: boolean;
}

/** Returns the places of the identifiers by their texts: own ones on an inner ring. */
function placesOf(graph: Graph): Map<string, Node> {
  const own = graph.identifiers.map((each) => identifierText(each.identifier)).slice(0, MOST);
  const ends = graph.edges.flatMap(({ edge }) => [identifierText(edge?.a), identifierText(edge?.b)]);
  const all = new Set(graph.identifiers.map((each) => identifierText(each.identifier)));
  const others = [...new Set(ends)].filter((text) => text && !all.has(text)).slice(0, MOST);
  const ring = (texts: string[], share: number, isOwn: boolean): [string, Node][] =>
    texts.map((text, index) => {
      const angle = (2 * Math.PI * (index + (isOwn ? 0 : 0.5))) / texts.length - Math.PI / 2;
      const radius = texts.length === 1 && isOwn ? 0 : share;
      return [
        text,
        {
          x: WIDTH / 2 + radius * WIDTH * 0.38 * Math.cos(angle),
          y: HEIGHT / 2 + radius * HEIGHT * 0.44 * Math.sin(angle),
          own: isOwn,
        },
      ];
    });
  return new Map([...ring(own, others.length ? 0.5 : 0.9, true), ...ring(others, 1, false)]);
}

export function IdentityGraph(props: { graph: Graph }) {
  const { t, i18n } = useTranslation();
  const places = placesOf(props.graph);
  return (
    <div style={{ overflowX: "auto" }} tabIndex={0} role="group" aria-label={t("graph")}>
      <svg
        role="img"
        aria-label={t("graph")}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        // Its letters can be read, so that on a telephone it is moved.
        style={{ width: "100%", minWidth: 640, maxHeight: 560 }}
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
              {text.length > 34 ? `${text.slice(0, 33)}…` : text}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}
