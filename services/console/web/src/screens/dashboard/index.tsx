// A dashboard: its tiles with their figures, which are moved, added and removed in place.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Card, Empty, Form, Grid, Input, Skeleton, Space, Typography } from "antd";
import { type DragEvent, type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useParams } from "react-router";

import { awaitToken, call, type Schemas } from "../../api/client";
import { useAddress } from "../../parts/address";
import { type Draft, DraftState, LOOK_MS, useDraft, useSaveFailureText } from "../../parts/draft";
import { Head } from "../../parts/head";
import { Shown } from "../../parts/states";
import { useSession } from "../../session";
import { TileContent } from "./figures";
import { type Subjects, type Tile, useSubjects } from "./subjects";
import { isWhole, TileForm, USUAL_WIDTH } from "./tile_form";

type Dashboard = Schemas["activation.v1.Dashboard"];
const NEW: Dashboard = { dashboard_id: "", title: "", tiles: [] };
/** The etag of what is not defined yet. */
const NOT_DEFINED = "0";
const COLUMNS = 12;

export default function DashboardScreen() {
  const id = useParams()["id"] ?? "";
  return <Loaded key={id} id={id === "new" ? "" : id} />;
}

function Loaded(props: { id: string }) {
  const { t } = useTranslation();
  const { id } = props;
  const query = useQuery({
    queryKey: ["dashboards"],
    refetchInterval: LOOK_MS,
    queryFn: ({ signal }) => call("/api/activation/ListDashboards", {}, signal),
  });
  const found = query.data?.dashboards.find((each) => each.dashboard?.dashboard_id === id);
  const current = found?.dashboard && { content: found.dashboard, etag: found.etag ?? "" };
  const draft = useDraft(`dashboard ${id}`, id ? current : { content: NEW, etag: NOT_DEFINED });
  const isMissing = id !== "" && query.data !== undefined && !current && !draft.isEdited;
  return (
    <Shown query={query} keep={draft.isEdited || !id} empty={isMissing && t("noDefinition")}>
      {draft.content && <Board draft={draft} dashboard={draft.content} isNew={!id} />}
    </Shown>
  );
}

function Board(props: { draft: Draft<Dashboard>; dashboard: Dashboard; isNew: boolean }) {
  const { t } = useTranslation();
  const { caller } = useSession();
  const [search, set] = useAddress();
  const { draft, dashboard, isNew } = props;
  const mayEdit = caller.role !== "ROLE_READER";
  const isEdited = mayEdit && (isNew || draft.isEdited || search.has("edit"));
  const edit = (part: Partial<Dashboard>) => draft.edit({ ...dashboard, ...part });
  const tiles = dashboard.tiles ?? [];
  return (
    <>
      <Head>
        <Typography.Title level={2}>
          {dashboard.title || dashboard.dashboard_id || t("newDashboard")}
        </Typography.Title>
        {mayEdit && !isEdited && <Button onClick={() => set("edit", "1")}>{t("edit")}</Button>}
      </Head>
      <DraftState draft={draft} />
      {isEdited && (
        <>
          <Form layout="vertical" component="div">
            <Space wrap>
              <Form.Item label={t("id")} htmlFor="dashboard-id">
                <Input
                  id="dashboard-id"
                  disabled={!isNew}
                  value={dashboard.dashboard_id}
                  onChange={(event) => edit({ dashboard_id: event.target.value })}
                />
              </Form.Item>
              <Form.Item label={t("title")} htmlFor="dashboard-title">
                <Input
                  id="dashboard-title"
                  value={dashboard.title ?? ""}
                  onChange={(event) => edit({ title: event.target.value })}
                />
              </Form.Item>
            </Space>
          </Form>
          <Space wrap style={{ marginBottom: 16 }}>
            <Button onClick={() => edit({ tiles: [...tiles, newTile(tiles)] })}>{t("addTile")}</Button>
            <Save draft={draft} dashboard={dashboard} isNew={isNew} />
          </Space>
        </>
      )}
      {tiles.length === 0 && <Empty description={t(mayEdit ? "noTiles" : "tileEmpty")} />}
      <Tiles tiles={tiles} isEdited={isEdited} onChange={(tiles) => edit({ tiles })} />
    </>
  );
}

function newTile(tiles: Tile[]): Tile {
  let number = tiles.length + 1;
  while (tiles.some((tile) => tile.tile_id === `tile-${number}`)) number += 1;
  const data = "TILE_DATA_MEMBERS", chart = "TILE_CHART_NUMBERS";
  return { tile_id: `tile-${number}`, data, chart, title: "", subject_ids: [] };
}

/** Returns the tiles with one of them at another place. */
function moved(tiles: Tile[], from: number, to: number): Tile[] {
  const rest = tiles.filter((_, i) => i !== from);
  const tile = tiles[from];
  return tile ? [...rest.slice(0, to), tile, ...rest.slice(to)] : tiles;
}

function Tiles(props: { tiles: Tile[]; isEdited: boolean; onChange: (tiles: Tile[]) => void }) {
  const { tiles, isEdited, onChange } = props;
  const isWide = Grid.useBreakpoint().md ?? false;
  const subjects = useSubjects();
  const whole = tiles.filter(isWhole);
  const figures = useQuery({
    queryKey: ["tiles", whole.map(({ title: _, width: __, ...rest }) => rest)],
    enabled: whole.length > 0,
    refetchInterval: LOOK_MS,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => call("/api/activation/EvaluateTiles", { tiles: whole }, signal),
  });
  const [dragged, setDragged] = useState<number | null>(null);
  const drop = (to: number) => {
    if (dragged !== null && dragged !== to) onChange(moved(tiles, dragged, to));
    setDragged(null);
  };
  const byId = new Map(figures.data?.tiles.map((each) => [each.tile_id, each]));
  return (
    <Shown query={figures} keep>
      <div style={{ display: "grid", gap: 16, gridTemplateColumns: `repeat(${COLUMNS}, minmax(0, 1fr))` }}>
        {tiles.map((tile, i) => (
          <TileCard
            key={tile.tile_id}
            tile={tile}
            span={isWide ? Math.max(isEdited ? USUAL_WIDTH : 1, tile.width || USUAL_WIDTH) : COLUMNS}
            edit={
              isEdited
                ? {
                    isFirst: i === 0,
                    isLast: i === tiles.length - 1,
                    move: (by) => onChange(moved(tiles, i, i + by)),
                    remove: () => onChange(tiles.filter((each) => each !== tile)),
                    change: (next) => onChange(tiles.map((each) => (each === tile ? next : each))),
                    drag: () => setDragged(i),
                    drop: () => drop(i),
                  }
                : undefined
            }
            subjects={subjects.data}
          >
            <TileBody
              tile={tile}
              figures={byId.get(tile.tile_id)}
              hasFailed={figures.error != null}
              subjects={subjects.data}
            />
          </TileCard>
        ))}
      </div>
    </Shown>
  );
}

function TileBody(props: {
  tile: Tile;
  figures: Schemas["activation.v1.TileFigures"] | undefined;
  hasFailed: boolean;
  subjects: Subjects | undefined;
}) {
  const { t } = useTranslation();
  const { tile, figures } = props;
  if (!isWhole(tile)) return <Alert type="info" title={t("tileNeedsSubjects")} />;
  if (!figures) return props.hasFailed ? t("failed") : <Skeleton active />;
  return <TileContent tile={tile} figures={figures} subjects={props.subjects} />;
}

interface TileEdit {
  isFirst: boolean;
  isLast: boolean;
  move: (by: number) => void;
  remove: () => void;
  change: (tile: Tile) => void;
  drag: () => void;
  drop: () => void;
}

/** A tile; one that is edited is dragged by its card, or moved by its buttons. */
function TileCard(props: {
  tile: Tile;
  span: number;
  edit: TileEdit | undefined;
  subjects: Subjects | undefined;
  children: ReactNode;
}) {
  const { t } = useTranslation();
  const { tile, edit } = props;
  const title = tile.title || tile.tile_id;
  const draggable = edit && {
    draggable: true,
    onDragStart: (event: DragEvent) => {
      event.dataTransfer.effectAllowed = "move";
      edit.drag();
    },
    onDragOver: (event: DragEvent) => event.preventDefault(),
    onDrop: (event: DragEvent) => {
      event.preventDefault();
      edit.drop();
    },
  };
  const button = (name: "moveEarlier" | "moveLater" | "remove", off: boolean, act: () => void, sign: string) => (
    <Button size="small" aria-label={`${t(name)}: ${title}`} disabled={off} onClick={act}>
      {sign}
    </Button>
  );
  return (
    <section aria-label={title} style={{ gridColumn: `span ${props.span}` }} {...draggable}>
      <Card
        size="small"
        title={title}
        style={edit && { cursor: "move" }}
        extra={
          edit && (
            <Space size={4}>
              {button("moveEarlier", edit.isFirst, () => edit.move(-1), "←")}
              {button("moveLater", edit.isLast, () => edit.move(1), "→")}
              {button("remove", false, edit.remove, "×")}
            </Space>
          )
        }
      >
        {edit && <TileForm tile={tile} subjects={props.subjects} onChange={edit.change} />}
        {props.children}
      </Card>
    </section>
  );
}

function Save(props: { draft: Draft<Dashboard>; dashboard: Dashboard; isNew: boolean }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { draft, dashboard, isNew } = props;
  const failure = useSaveFailureText(isNew);
  const save = useMutation({
    mutationFn: async () => {
      const { token } = await call("/api/activation/DefineDashboard", {
        dashboard,
        etag: draft.base?.etag ?? "",
      });
      await awaitToken(token);
    },
    onSuccess: async () => {
      void message.success(t("saved"));
      draft.discard();
      await queries.invalidateQueries({ queryKey: ["dashboards"] });
      void navigate(`/dashboards/${encodeURIComponent(dashboard.dashboard_id)}`);
    },
    // Another version has become current: it is shown beside the draft.
    onError: () => void queries.invalidateQueries({ queryKey: ["dashboards"] }),
  });
  return (
    <>
      <Button
        type="primary"
        disabled={!dashboard.dashboard_id || !(dashboard.tiles ?? []).every(isWhole)}
        loading={save.isPending}
        onClick={() => save.mutate()}
      >
        {t("save")}
      </Button>
      {save.error && !draft.other && (
        <Alert type="error" title={failure(save.error)} />
      )}
    </>
  );
}
