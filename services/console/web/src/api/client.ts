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

/** Makes a call. A failure is a CallError. */
export async function call<P extends Path>(
  path: P,
  body: Body<P>,
  signal?: AbortSignal,
): Promise<Answer<P>> {
  return (await send("POST", path, body, signal)) as Answer<P>;
}

/** Sends a request to the console, and returns the JSON of its response. */
export async function send(
  method: "POST" | "DELETE",
  path: string,
  body: unknown,
  signal?: AbortSignal,
): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new CallError("unavailable", "", "unreachable");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const failure = answer.error ?? {};
    throw new CallError(
      failure.code ?? "unknown",
      failure.reason ?? "",
      failure.message ?? response.statusText,
    );
  }
  return answer;
}
