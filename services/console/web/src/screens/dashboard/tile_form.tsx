// What a tile counts and how it shows that, as fields.
import { Flex, Input, InputNumber, Select } from "antd";
import { useTranslation } from "react-i18next";

import { word } from "../../words";
import { CHARTS, DATA, type Subjects, type Tile } from "./subjects";

const WIDTHS = [3, 4, 6, 8, 12];
/** The columns of a tile that states none. */
export const USUAL_WIDTH = 4;
const USUAL_DAYS = 30;
const MOST_DAYS = 60;

export function TileForm(props: {
  tile: Tile;
  subjects: Subjects | undefined;
  onChange: (tile: Tile) => void;
}) {
  const { t, i18n } = useTranslation();
  const { tile, subjects, onChange } = props;
  const set = (part: Partial<Tile>) => onChange({ ...tile, ...part });
  const own = subjects?.[tile.data] ?? [];
  return (
    <Flex vertical gap="small" style={{ marginBottom: 12 }}>
      <Input
        aria-label={t("tileTitle")}
        placeholder={t("tileTitle")}
        value={tile.title ?? ""}
        onChange={(event) => set({ title: event.target.value })}
      />
      <Select
        aria-label={t("tileData")}
        value={tile.data}
        onChange={(data) => onChange({ ...withoutDays(tile), data, subject_ids: [] })}
        options={DATA.map((each) => ({ value: each, label: word(each, "TILE_DATA_", i18n.language) }))}
      />
      <Select
        mode="multiple"
        aria-label={t("tileSubjects")}
        placeholder={t(needsSubjects(tile) ? "tileSubjects" : "tileAllSubjects")}
        value={tile.subject_ids ?? []}
        onChange={(subject_ids: string[]) => set({ subject_ids })}
        optionFilterProp="label"
        options={own.map((each) => ({ value: each.id, label: each.title }))}
      />
      {tile.data === "TILE_DATA_JOURNEYS" && (
        <InputNumber
          aria-label={t("tileDays")}
          prefix={t("tileDays")}
          min={1}
          max={MOST_DAYS}
          precision={0}
          value={tile.days || USUAL_DAYS}
          onChange={(days) => set({ days: days ?? USUAL_DAYS })}
        />
      )}
      <Flex gap="small" wrap>
        <Select
          aria-label={t("tileChart")}
          style={{ flex: 1, minWidth: 110 }}
          value={tile.chart}
          onChange={(chart) => set({ chart })}
          options={CHARTS.map((each) => ({ value: each, label: word(each, "TILE_CHART_", i18n.language) }))}
        />
        <Select
          aria-label={t("tileWidth")}
          style={{ flex: 1, minWidth: 110 }}
          value={tile.width || USUAL_WIDTH}
          onChange={(width) => set({ width })}
          options={WIDTHS.map((width) => ({ value: width, label: t("tileColumns", { count: width }) }))}
        />
      </Flex>
    </Flex>
  );
}

function withoutDays(tile: Tile): Tile {
  const { days: _, ...rest } = tile;
  return rest;
}

function needsSubjects(tile: Tile): boolean {
  return tile.data === "TILE_DATA_MEMBERS" || tile.data === "TILE_DATA_JOURNEYS";
}

/** Returns whether a tile names what it must name, so that it can be evaluated. */
export function isWhole(tile: Tile): boolean {
  return !needsSubjects(tile) || (tile.subject_ids ?? []).length > 0;
}
