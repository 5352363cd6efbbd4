// Watches a stream while a screen is open; after a failure or a pause it goes on where it was.
import { Alert, Tag } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

import { withStream } from "../api/turns";
import { useFailureText } from "./states";

const AGAIN_MS = 2_000;
const BELOW = { marginBottom: 16 };

export interface Live {
  /** Other tabs of the browser have all the streams that it opens. */
  isWaiting: boolean;
  error: unknown;
  /** Whether the stream has begun, and not ended since. */
  isLive: boolean;
}

/**
 * Calls `watch` again and again while the screen is open; it calls its second argument with each
 * message. Another `key` begins another stream.
 */
export function useLive(
  key: string,
  isPaused: boolean,
  watch: (signal: AbortSignal, hasArrived: () => void) => Promise<void>,
): Live {
  const [isWaiting, setWaiting] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [isLive, setLive] = useState(false);
  const newest = useRef(watch);
  newest.current = watch;
  useEffect(() => {
    if (isPaused) return;
    const ended = new AbortController();
    const repeat = async () => {
      while (!ended.signal.aborted) {
        try {
          const wasFree = await withStream(() => {
            setWaiting(false);
            return newest.current(ended.signal, () => {
              setError(null);
              setLive(true);
            });
          });
          setWaiting(!wasFree);
        } catch (failed) {
          if (!ended.signal.aborted) setError(failed);
        }
        setLive(false);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    void repeat();
    return () => ended.abort();
  }, [key, isPaused]);
  return { isWaiting, error, isLive };
}

/** Says whether what comes is shown, or why nothing does. */
export function LiveState(props: { live: Live }) {
  const { t } = useTranslation();
  const failure = useFailureText();
  const { isWaiting, error, isLive } = props.live;
  return (
    <>
      {isLive && (
        <p role="status">
          <Tag color="#237804">{t("liveNow")}</Tag>
        </p>
      )}
      {error != null && (
        <Alert type="error" showIcon style={BELOW} title={failure(error)} description={t("goesOn")} />
      )}
      {isWaiting && <Alert type="info" style={BELOW} title={t("otherTabs")} />}
    </>
  );
}
