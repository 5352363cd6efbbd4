// Tells the page that its session has ended: a service has refused the key of a call.
import { CallError } from "./client";

const ENDED = "onefold-session-ended";

/** Ends the session of the page where a call has failed because its key is not accepted. */
export function noteFailure(error: unknown): void {
  if (error instanceof CallError && error.code === "unauthenticated") dispatchEvent(new Event(ENDED));
}

/** Calls `listener` when the session has ended; returns what stops that. */
export function onSessionEnd(listener: () => void): () => void {
  addEventListener(ENDED, listener);
  return () => removeEventListener(ENDED, listener);
}
