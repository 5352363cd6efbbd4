// Makes the calls of the API in plain JSON, typed by its OpenAPI description.
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
type Path = keyof paths;
type Body<P extends Path> = paths[P] extends {
  post: { requestBody: { content: { "application/json": infer B } } };
}
  ? B
  : never;
type Answer<P extends Path> = paths[P] extends {
  post: { responses: { 200: { content: { "application/json": infer A } } } };
}
  ? Required<A>
  : never;

/** What a failure says where no response has come. */
export const UNREACHABLE = "unreachable";

/** A call that failed: what the service says about it, and what to do. */
export class CallError extends Error {
  constructor(
    readonly code: string,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Makes a call. A failure is a CallError. `reason`: why the call sees sensitive values, which the
 * audit keeps; empty = it does not see them.
 */
export async function call<P extends Path>(
  path: P,
  body: Body<P>,
  signal?: AbortSignal,
  reason = "",
): Promise<Answer<P>> {
  return (await send("POST", path, body, signal, reason)) as Answer<P>;
}

/** Sends a request to the console, and returns the JSON of its response. */
export async function send(
  method: "POST" | "DELETE",
  path: string,
  body: unknown,
  signal?: AbortSignal,
  reason = "",
): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        "content-type": "application/json",
        ...(reason && { "onefold-unmask-reason": encodeURIComponent(reason) }),
      },
      body: JSON.stringify(body),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new CallError("unavailable", "", UNREACHABLE);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw failureOf(answer, response);
  return answer;
}

/** Makes a call that returns a stream, and passes each of its messages on. */
export async function stream<P extends Path>(
  path: P,
  body: Body<P>,
  signal: AbortSignal,
  onMessage: (message: unknown) => void,
): Promise<void> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  }).catch((error: unknown) => {
    if (signal.aborted) throw error;
    throw new CallError("unavailable", "", UNREACHABLE);
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.filter(Boolean)) read(JSON.parse(line));
  }
  if (rest.trim()) read(JSON.parse(rest));

  function read(message: { error?: { code?: string; reason?: string; message?: string } }) {
    if (message.error || !response.ok) throw failureOf(message, response);
    onMessage(message);
  }
}

function failureOf(
  answer: { error?: { code?: string; reason?: string; message?: string } },
  response: Response,
): CallError {
  const failure = answer.error ?? {};
  const message = failure.message ?? response.statusText;
  return new CallError(failure.code ?? "unknown", failure.reason ?? "", message);
}

/** How often a call that changes nothing is made again, and the pause before that. */
const MOST_TRIES = 3;
const AGAIN_MS = 500;

/** Makes a call that changes nothing; makes it again where its service does not answer. */
export async function callPatiently<P extends Path>(path: P, body: Body<P>): Promise<Answer<P>> {
  for (let tried = 1; ; tried++)
    try {
      return await call(path, body);
    } catch (error) {
      if (!(error instanceof CallError) || error.code !== "unavailable" || tried >= MOST_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS * tried));
    }
}

const PROJECTIONS = ["identity", "profile", "segment", "activation"] as const;

/** Waits until every service has reached a state of the log, so that what is read includes it. */
export async function awaitToken(token: Schemas["type.v1.Token"]): Promise<void> {
  await Promise.all(PROJECTIONS.map((service) => callPatiently(`/api/${service}/AwaitToken`, { token })));
}
