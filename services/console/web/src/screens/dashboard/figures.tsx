// The figures of a tile: numbers, bars, a funnel or a table, each with a link to what is behind it.
import { Alert, Empty, Flex, Statistic } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";

import type { Schemas } from "../../api/client";
import { number } from "../../format";
import { BLUE } from "../../parts/colours";
import { Rows } from "../../parts/rows";
import { type Figure, figureWord, placeOf, type Subjects, type Tile, titleOf } from "./subjects";

type Figures = Schemas["activation.v1.TileFigures"];

/** `figures`: undefined where they are not loaded yet. */
export function TileContent(props: { tile: Tile; figures: Figures; subjects: Subjects | undefined }) {
  const { t } = useTranslation();
  const { tile, figures, subjects } = props;
  const names = (ids: string[]) => ids.map((id) => titleOf(subjects, tile.data, id)).join(", ");
  const own = figures.figures ?? [];
  const unknown = figures.unknown_ids ?? [];
  const pending = figures.pending_ids ?? [];
  return (
    <>
      {unknown.length > 0 && (
        <Alert type="warning" style={{ marginBottom: 8 }} title={t("tileUnknown", { ids: unknown.join(", ") })} />
      )}
      {pending.length > 0 && (
        <Alert type="info" style={{ marginBottom: 8 }} title={t("tilePending", { ids: names(pending) })} />
      )}
      {own.length === 0 && unknown.length === 0 && <Empty description={t("tileEmpty")} />}
      {own.length > 0 && <Chart tile={tile} figures={own} subjects={subjects} />}
    </>
  );
}

interface Shown {
  key: string;
  label: string;
  to: string;
  value: number;
}

function Chart(props: { tile: Tile; figures: Figure[]; subjects: Subjects | undefined }) {
  const { i18n } = useTranslation();
  const { tile } = props;
  const subjectCount = new Set(props.figures.map((each) => each.subject_id)).size;
  const rows = props.figures.map((figure): Shown => {
    const title = titleOf(props.subjects, tile.data, figure.subject_id ?? "");
    const name = figureWord(tile.data, figure.name, i18n.language);
    const parts = tile.data === "TILE_DATA_MEMBERS" ? [title] : subjectCount > 1 ? [title, name] : [name];
    return {
      key: `${figure.subject_id} ${figure.name}`,
      label: parts.join(": "),
      to: placeOf(tile.data, figure),
      value: figure.value ?? 0,
    };
  });
  if (tile.chart === "TILE_CHART_NUMBERS")
    return (
      <Flex wrap gap="large">
        {rows.map((row) => (
          <Link key={row.key} to={row.to}>
            <Statistic title={row.label} value={number(row.value, i18n.language)} />
          </Link>
        ))}
      </Flex>
    );
  if (tile.chart === "TILE_CHART_TABLE")
    return <FigureTable tile={tile} figures={props.figures} subjects={props.subjects} />;
  return <Bars rows={rows} isFunnel={tile.chart === "TILE_CHART_FUNNEL"} />;
}

function Bars(props: { rows: Shown[]; isFunnel: boolean }) {
  const { t, i18n } = useTranslation();
  const { rows, isFunnel } = props;
  const first = rows[0]?.value ?? 0;
  const most = Math.max(1, ...rows.map((row) => row.value));
  const share = (value: number, of: number) =>
    of > 0 ? `${Math.round((1000 * value) / of) / 10} %` : "–";
  return (
    <ul style={{ listStyle: "none", padding: 0, margin: 0 }}>
      {rows.map((row, i) => {
        const before = rows[i - 1]?.value ?? 0;
        return (
          <li key={row.key} style={{ marginBottom: 8 }}>
            <Flex justify="space-between" gap="small" wrap>
              <Link to={row.to}>{row.label}</Link>
              <span>
                {number(row.value, i18n.language)}
                {isFunnel && i > 0 && ` (${t("ofFirst", { share: share(row.value, first) })}, ${t("ofBefore", { share: share(row.value, before) })})`}
              </span>
            </Flex>
            <div
              aria-hidden
              style={{ height: 10, background: BLUE, width: `${(100 * row.value) / most}%` }}
            />
          </li>
        );
      })}
    </ul>
  );
}

/** A row for each subject, and a column for each name. */
function FigureTable(props: { tile: Tile; figures: Figure[]; subjects: Subjects | undefined }) {
  const { t, i18n } = useTranslation();
  const { tile, figures } = props;
  const ids = [...new Set(figures.map((each) => each.subject_id ?? ""))];
  const names = [...new Set(figures.map((each) => each.name ?? ""))];
  const of = (id: string, name: string) =>
    figures.find((each) => each.subject_id === id && each.name === name);
  return (
    <Rows
      size="small"
      rowKey="id"
      pagination={{ hideOnSinglePage: true }}
      dataSource={ids.map((id) => ({ id }))}
      columns={[
        { title: t("title"), render: (_, row) => titleOf(props.subjects, tile.data, row.id) },
        ...names.map((name) => ({
          title: figureWord(tile.data, name, i18n.language),
          render: (_: unknown, row: { id: string }) => {
            const figure = of(row.id, name);
            return figure && <Link to={placeOf(tile.data, figure)}>{number(figure.value, i18n.language)}</Link>;
          },
        })),
      ]}
    />
  );
}
