// Places the steps of a journey: one below the other, and branches side by side.
import type { Schemas } from "../../api/client";

type Step = Schemas["activation.v1.JourneyStep"];
export const [BOX_WIDTH, BOX_HEIGHT] = [190, 58];
const [GAP_X, GAP_Y] = [24, 44];

export interface Box {
  id: string;
  /** Such as `send`; a branch has the kind `branch`. */
  kind: string;
  detail: string;
  content: unknown;
  x: number;
  y: number;
}

export interface Line {
  from: Box;
  to: Box;
}

export interface Layout {
  boxes: Box[];
  lines: Line[];
  width: number;
  height: number;
}

interface Placed extends Layout {
  first: Box | null;
  /** The boxes from which the next step follows. */
  ends: Box[];
}

interface Branch {
  name: string;
  steps: Step[];
}

/** Returns the steps below a box with the entry; spans are written in a language. */
export function layoutOf(entry: string, content: unknown, steps: Step[], language: string): Layout {
  const below = place(steps, 0, BOX_HEIGHT + GAP_Y, language);
  const width = Math.max(below.width, BOX_WIDTH);
  const box = { id: "", kind: "entry", detail: entry, content, x: (width - BOX_WIDTH) / 2, y: 0 };
  return {
    boxes: [box, ...below.boxes],
    lines: [...(below.first ? [{ from: box, to: below.first }] : []), ...below.lines],
    width,
    height: BOX_HEIGHT + GAP_Y + below.height,
  };
}

function place(steps: Step[], left: number, top: number, language: string): Placed {
  const placed = steps.map((step) => ({ step, branches: branchesOf(step) }));
  let y = top;
  const result: Placed = { boxes: [], lines: [], width: BOX_WIDTH, height: 0, first: null, ends: [] };
  const widths = placed.map(({ branches }) => widthOf(branches));
  result.width = Math.max(BOX_WIDTH, ...widths);
  placed.forEach(({ step, branches }) => {
    const [kind, body] = Object.entries(step)[0] ?? ["exit", {}];
    const content = body as { id?: string };
    const x = left + (result.width - BOX_WIDTH) / 2;
    const box = { id: content.id ?? "", kind, detail: detailOf(kind, body, language), content: body, x, y };
    result.boxes.push(box);
    result.first ??= box;
    result.lines.push(...result.ends.map((from) => ({ from, to: box })));
    y += BOX_HEIGHT + GAP_Y;
    result.ends = kind === "exit" ? [] : [box];
    if (!branches.length) return;
    let at = left + (result.width - widthOf(branches)) / 2;
    let height = 0;
    const ends: Box[] = [];
    for (const branch of branches) {
      const inner = place(branch.steps, at, y + BOX_HEIGHT + GAP_Y, language);
      const head = {
        ...{ id: "", kind: "branch", detail: branch.name, content: branch.name },
        x: at + (inner.width - BOX_WIDTH) / 2,
        y,
      };
      result.boxes.push(head, ...inner.boxes);
      result.lines.push({ from: box, to: head }, ...inner.lines);
      if (inner.first) result.lines.push({ from: head, to: inner.first });
      ends.push(...(inner.first ? inner.ends : [head]));
      height = Math.max(height, BOX_HEIGHT + GAP_Y + inner.height);
      at += inner.width + GAP_X;
    }
    y += height;
    result.ends = ends;
  });
  result.height = y - top;
  return result;
}

function widthOf(branches: Branch[]): number {
  const widths = branches.map((branch) => place(branch.steps, 0, 0, "").width);
  return widths.reduce((sum, width) => sum + width + GAP_X, -GAP_X);
}

function branchesOf(step: Step): Branch[] {
  if (step.choose)
    return (step.choose.branches ?? []).map((branch, index) => ({
      name: branch.when ? `${index + 1}` : "—",
      steps: branch.steps ?? [],
    }));
  if (step.split)
    return (step.split.arms ?? []).map((arm) => ({
      name: `${arm.name} ${(arm.share_ppm ?? 0) / 10_000} %`,
      steps: arm.steps ?? [],
    }));
  if (step.listen)
    return [
      { name: "✓", steps: step.listen.then ?? [] },
      { name: "✗", steps: step.listen.otherwise ?? [] },
    ];
  if (step.repeat) return [{ name: `× ${step.repeat.times}`, steps: step.repeat.steps ?? [] }];
  return [];
}

const UNITS = [
  ["day", 86_400_000_000, false],
  ["hour", 3_600_000_000, true],
  ["minute", 60_000_000, true],
  ["second", 1_000_000, true],
] as const;

/** Writes a span in the greatest unit that it has, such as 36 hours; days are whole ones. */
function spanOf(us: number, language: string): string {
  const [unit, size] = UNITS.find(([, size, parts]) => us >= size && (parts || us % size === 0)) ?? UNITS[3];
  const style = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 2 } as const;
  return new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en-GB", style).format(us / size);
}

function detailOf(kind: string, body: unknown, language: string): string {
  const part = body as Record<string, unknown>;
  const text = (name: string) => String(part[name] ?? "");
  if (kind === "wait") return spanOf(Number(part["span_us"]), language);
  if (kind === "listen") return spanOf(Number(part["at_most_us"]), language);
  if (kind === "until" && part["clock"] !== undefined) {
    const minutes = Number(part["clock"]);
    return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
  }
  return text("template") || text("title") || text("tag") || text("destination_id") || text("journey_id");
}
