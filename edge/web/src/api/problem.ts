/** Refusals of the edge, as values. */

import type { Problem } from "./types.ts";

/** The edge answered, and refused. */
export class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

/** The problem document of a refused response. Anything in front of the edge that answers in
 * its own words becomes a problem with code `unavailable`. Never rejects on the body. */
export async function readProblem(response: Response): Promise<Problem> {
  const stated = parse(await response.text().catch(() => ""));
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  const headerMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
  return {
    code: text(stated.code) || "unavailable",
    title: text(stated.title) || `The server answered ${response.status}`,
    detail: text(stated.detail),
    status: response.status,
    requestId: text(stated.requestId),
    retryAfterMs: typeof stated.retryAfterMs === "number" ? stated.retryAfterMs : headerMs,
    activeRunId: text(stated.activeRunId) || text(stated.runId) || null,
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function parse(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
