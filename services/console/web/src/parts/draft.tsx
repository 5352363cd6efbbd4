// What a person enters in an editor: it stays while data is loaded again, and after a reload.
import { Alert, Button, Space } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { CallError } from "../api/client";
import { useSession } from "../session";
import { useFailureText } from "./states";

/** A definition as it is edited, and the version that it has. */
export interface Versioned<T> {
  content: T;
  etag: string;
}

export interface Draft<T> {
  /** What the editor shows; undefined until it is loaded. */
  content: T | undefined;
  /** What was current when the edit began. */
  base: Versioned<T> | undefined;
  isEdited: boolean;
  /** Another version, which has become current since. */
  other: Versioned<T> | undefined;
  edit: (content: T) => void;
  /** Ends the edit: the editor shows what is current. */
  discard: () => void;
  /** Goes on with what is entered, on top of the other version. */
  keep: () => void;
}

interface Held<T> {
  base: Versioned<T>;
  content: T;
}

const PREFIX = "onefold-draft ";
/** How often an editor looks for another version, milliseconds. */
export const LOOK_MS = 10_000;

/** Returns whether a definition was refused as another version of it has become current. */
export function isStale(error: unknown): boolean {
  return error instanceof CallError && error.reason === "ETAG_MISMATCH";
}

/** Returns what a refused definition says; `isNew`: it is the first version of its id. */
export function useSaveFailureText(isNew: boolean): (error: unknown) => string {
  const { t } = useTranslation();
  const failure = useFailureText();
  return (error) => (isStale(error) ? t(isNew ? "idInUse" : "changedMeanwhile") : failure(error));
}

/**
 * Returns the draft of an editor with a name. `current`: what is loaded; undefined while it is not.
 * A draft that is `private` has secrets, so that it does not outlive the page.
 */
export function useDraft<T>(
  name: string,
  current: Versioned<T> | undefined,
  lasts: "stored" | "private" = "stored",
): Draft<T> {
  const { caller } = useSession();
  const key = `${PREFIX}${caller.workspace_id} ${name}`;
  const [held, setHeld] = useState(() => (lasts === "stored" ? read<T>(key) : null));
  const hold = (next: Held<T> | null) => {
    setHeld(next);
    if (lasts === "stored") write(key, next);
  };
  const base = held?.base ?? current;
  const other = held && current && current.etag !== held.base.etag ? current : undefined;
  return {
    content: held ? held.content : current?.content,
    base,
    isEdited: held !== null,
    other,
    edit: (content) => base && hold({ base, content }),
    discard: () => hold(null),
    keep: () => held && other && hold({ base: other, content: held.content }),
  };
}

function read<T>(key: string): Held<T> | null {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "null") as Held<T> | null;
  } catch {
    return null;
  }
}

function write(key: string, held: unknown): void {
  try {
    if (held === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(held));
  } catch {
    // The storage is full: the draft lasts as long as the page.
  }
}

/** Removes what was entered, as the next person at this browser must not read it. */
export function removeDrafts(): void {
  for (const key of Object.keys(sessionStorage))
    if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
}

/** Says that there is a draft, or another version beside it, and lets the person choose. */
export function DraftState(props: {
  draft: Pick<Draft<unknown>, "isEdited" | "other" | "discard" | "keep">;
}) {
  const { t } = useTranslation();
  const { draft } = props;
  if (!draft.isEdited) return null;
  const discard = (
    <Button size="small" onClick={draft.discard}>
      {t(draft.other ? "showOther" : "discardDraft")}
    </Button>
  );
  return (
    <Alert
      showIcon
      type={draft.other ? "warning" : "info"}
      style={{ marginBottom: 16 }}
      title={t(draft.other ? "changedMeanwhile" : "notSaved")}
      action={
        <Space wrap>
          {discard}
          {draft.other && (
            <Button size="small" onClick={draft.keep}>
              {t("keepDraft")}
            </Button>
          )}
        </Space>
      }
    />
  );
}
