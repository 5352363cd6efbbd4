// Draws a journey as a tree; each step can be chosen with the mouse and the keyboard.
import { useTranslation } from "react-i18next";

import { BLUE, BROWN, CHOSEN, GREEN, GREY, LINE, PAPER, TEXT, VIOLET } from "../colours";
import { BOX_HEIGHT, BOX_WIDTH, type Box, type Layout } from "./layout";

const COLOURS: Record<string, string> = {
  entry: GREEN,
  send: BLUE,
  wait: BROWN,
  until: BROWN,
  listen: VIOLET,
  branch: GREY,
};

export function JourneyCanvas(props: {
  layout: Layout;
  chosen: Box | null;
  onChoose: (box: Box) => void;
  /** What is written below a step, such as how many people wait there. */
  countOf: (box: Box) => string;
}) {
  const { t } = useTranslation();
  const { layout, chosen, onChoose } = props;
  return (
    <div style={{ overflowX: "auto" }} tabIndex={0} role="group" aria-label={t("journey")}>
      <svg
        width={layout.width + 8}
        height={layout.height + 8}
        viewBox={`-4 -4 ${layout.width + 8} ${layout.height + 8}`}
        style={{ fill: TEXT }}
      >
        {layout.lines.map((line, index) => {
          const [x1, y1] = [line.from.x + BOX_WIDTH / 2, line.from.y + BOX_HEIGHT];
          const [x2, y2] = [line.to.x + BOX_WIDTH / 2, line.to.y];
          const middle = (y1 + y2) / 2;
          const d = `M ${x1} ${y1} C ${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
          return <path key={index} d={d} fill="none" stroke={LINE} strokeWidth={1.5} />;
        })}
        {layout.boxes.map((box, index) => {
          const name = t(`step_${box.kind}` as "step_send");
          const count = props.countOf(box);
          return (
            <g
              key={index}
              role="button"
              tabIndex={0}
              aria-label={[name, box.id, box.detail, count].filter(Boolean).join(" ")}
              aria-pressed={chosen === box}
              style={{ cursor: "pointer" }}
              onClick={() => onChoose(box)}
              onKeyDown={(event) => {
                if (event.key === "Enter" || event.key === " ") {
                  event.preventDefault();
                  onChoose(box);
                }
              }}
            >
              <rect
                x={box.x}
                y={box.y}
                width={BOX_WIDTH}
                height={BOX_HEIGHT}
                rx={8}
                style={{
                  fill: chosen === box ? CHOSEN : PAPER,
                  stroke: COLOURS[box.kind] ?? GREY,
                }}
                strokeWidth={chosen === box ? 3 : 1.5}
              />
              <text x={box.x + 10} y={box.y + 22} fontSize={13} fontWeight={600}>
                {cut(`${name} ${box.id}`, 24)}
              </text>
              <text x={box.x + 10} y={box.y + 43} fontSize={12}>
                {cut(box.detail, count ? 16 : 26)}
              </text>
              <text x={box.x + BOX_WIDTH - 10} y={box.y + 43} fontSize={12} textAnchor="end">
                {count}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
