/** The edge's HTTP interface, typed. Every call rejects with `Refused` when the edge says no and
 * with a TypeError when it can't be reached. */

import { Refused, readProblem } from "./problem.ts";
import type { Chat, MessagePage, Model, Page, User } from "./types.ts";

const PAGE = 50;

export interface Credentials {
  readonly email: string;
  readonly password: string;
}

interface Call {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

async function raw(path: string, call: Call = {}): Promise<Response> {
  const headers: Record<string, string> = { "X-Parley-Client": "web", ...call.headers };
  const init: RequestInit = { method: call.method ?? "GET", headers, credentials: "same-origin" };
  if (call.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(call.body);
  }
  if (call.signal) init.signal = call.signal;
  return fetch(path, init);
}

async function json<Answer>(path: string, call?: Call): Promise<Answer> {
  const response = await raw(path, call);
  if (!response.ok) throw new Refused(await readProblem(response));
  return (response.status === 204 ? undefined : await response.json()) as Answer;
}

async function account(path: string, body: unknown): Promise<User> {
  return (await json<{ user: User }>(path, { method: "POST", body })).user;
}

function chat(chatId: string): string {
  return `/chats/${encodeURIComponent(chatId)}`;
}

function run(chatId: string, runId: string): string {
  return `${chat(chatId)}/runs/${encodeURIComponent(runId)}`;
}

function page(path: string, cursor: string | null): string {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (cursor !== null) query.set("cursor", cursor);
  return `${path}?${query}`;
}

export const api = {
  me: async (): Promise<User> => (await json<{ user: User }>("/me")).user,
  guest: (): Promise<User> => account("/auth/guest", {}),
  login: (credentials: Credentials): Promise<User> => account("/auth/login", credentials),
  signup: (credentials: Credentials): Promise<User> => account("/auth/signup", credentials),
  logout: (): Promise<void> => json("/auth/logout", { method: "POST", body: {} }),
  models: async (): Promise<readonly Model[]> => (await json<Page<Model>>("/models")).data,
  chats: (cursor: string | null = null): Promise<Page<Chat>> => json(page("/chats", cursor)),
  createChat: (title: string): Promise<Chat> => json("/chats", { method: "POST", body: { title } }),
  /** Newest first, with the run in flight beside them. */
  messages: (chatId: string, cursor: string | null = null): Promise<MessagePage> =>
    json(page(`${chat(chatId)}/messages`, cursor)),
  /** Sends a prompt; the response is the run's event stream. The same `key` is the same run. */
  send: (
    chatId: string,
    prompt: { readonly content: string; readonly model?: string },
    key: string,
    signal: AbortSignal,
  ): Promise<Response> =>
    raw(`${chat(chatId)}/messages`, {
      method: "POST",
      body: prompt,
      headers: { Accept: "text/event-stream", "Idempotency-Key": key },
      signal,
    }),
  /** The event stream after event `after`; 204 when the run is over and nothing is left. */
  events: (
    chatId: string,
    runId: string,
    after: number,
    signal: AbortSignal,
  ): Promise<Response> =>
    raw(`${run(chatId, runId)}/events${after > 0 ? `?after=${after}` : ""}`, {
      headers: { Accept: "text/event-stream" },
      signal,
    }),
  cancel: (chatId: string, runId: string): Promise<unknown> =>
    json(`${run(chatId, runId)}/cancel`, { method: "POST", body: {} }),
};
