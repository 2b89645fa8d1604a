/** The edge's HTTP interface, typed. Every call rejects with `Refused` when the edge says no and
 * with a TypeError when it can't be reached. */

import { Refused, readProblem } from "./problem.ts";
import type {
  ApiKey,
  Attachment,
  Chat,
  Found,
  MessagePage,
  Model,
  Page,
  Settings,
  Share,
  SharedChat,
  UsageView,
  User,
} from "./types.ts";

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
  if (call.body instanceof FormData) {
    init.body = call.body;
  } else if (call.body !== undefined) {
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

/** What an answer is asked for with: a prompt, one in another's place, or another answer. */
export interface Ask {
  readonly content: string;
  /** Idempotency key: asking again under it gives the same run. */
  readonly key: string;
  readonly model?: string;
  readonly files?: readonly Attachment[];
  /** Where it goes, if not to the end: after `parentId` (null: at the beginning), or beside the
   * answer `beside`. */
  readonly place?: { readonly parentId: string | null } | { readonly beside: string };
}

function asked(chatId: string, { content, model, files, place }: Ask): [string, object] {
  const messages = `${chat(chatId)}/messages`;
  const named = model === undefined ? {} : { model };
  if (place !== undefined && "beside" in place) {
    return [`${messages}/${encodeURIComponent(place.beside)}/regenerate`, named];
  }
  const attachments = files?.flatMap(({ fileId }) => fileId ?? []) ?? [];
  const attached = attachments.length > 0 ? { attachments } : {};
  return [messages, { content, ...named, ...attached, ...place }];
}

export const api = {
  me: async (): Promise<User> => (await json<{ user: User }>("/me")).user,
  guest: (): Promise<User> => account("/auth/guest", {}),
  login: (credentials: Credentials): Promise<User> => account("/auth/login", credentials),
  signup: (credentials: Credentials): Promise<User> => account("/auth/signup", credentials),
  logout: (): Promise<void> => json("/auth/logout", { method: "POST", body: {} }),
  models: async (): Promise<readonly Model[]> => (await json<Page<Model>>("/models")).data,
  chats: (cursor: string | null = null): Promise<Page<Chat>> => json(page("/chats", cursor)),
  /** Pinned chats, wherever in the list they are. */
  pinnedChats: async (): Promise<readonly Chat[]> =>
    (await json<Page<Chat>>("/chats?pinned=true&limit=100")).data.filter((each) => each.pinned),
  createChat: (title: string): Promise<Chat> => json("/chats", { method: "POST", body: { title } }),
  /** Newest first, with the run in flight beside them. */
  messages: (chatId: string, cursor: string | null = null): Promise<MessagePage> =>
    json(page(`${chat(chatId)}/messages`, cursor)),
  /** Asks for an answer; the response is the run's event stream. The same key is the same run. */
  ask: (chatId: string, ask: Ask, signal: AbortSignal): Promise<Response> => {
    const [path, body] = asked(chatId, ask);
    const headers = { Accept: "text/event-stream", "Idempotency-Key": ask.key };
    return raw(path, { method: "POST", body, headers, signal });
  },
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
  /** Changes what is named. `leafId` shows the newest path that this message is on. */
  changeChat: (
    chatId: string,
    change: { readonly title?: string; readonly pinned?: boolean; readonly leafId?: string },
  ): Promise<Chat> => json(chat(chatId), { method: "PATCH", body: change }),
  deleteChat: (chatId: string): Promise<void> => json(chat(chatId), { method: "DELETE" }),
  search: (text: string, signal: AbortSignal): Promise<Page<Found>> =>
    json(`/search?${new URLSearchParams({ q: text, limit: "20" })}`, { signal }),
  upload: (file: File, signal: AbortSignal): Promise<Attachment> => {
    const body = new FormData();
    body.set("file", file);
    return json("/uploads", { method: "POST", body, signal });
  },
  shareOf: (chatId: string): Promise<Share> => json(`${chat(chatId)}/share`),
  share: (chatId: string): Promise<Share> =>
    json(`${chat(chatId)}/share`, { method: "POST", body: {} }),
  unshare: (chatId: string): Promise<void> => json(`${chat(chatId)}/share`, { method: "DELETE" }),
  shared: (shareId: string): Promise<SharedChat> =>
    json(`/shared/${encodeURIComponent(shareId)}`, { headers: { Accept: "application/json" } }),
  usage: (): Promise<UsageView> => json("/usage"),
  settings: (): Promise<Settings> => json("/me/settings"),
  changeSettings: (settings: Settings): Promise<Settings> =>
    json("/me/settings", { method: "PUT", body: settings }),
  upgrade: (credentials: Credentials): Promise<User> => account("/auth/upgrade", credentials),
  changePassword: (current: string, next: string): Promise<void> =>
    json("/auth/password", { method: "POST", body: { current, new: next } }),
  deleteAccount: (password: string): Promise<void> =>
    json("/me", { method: "DELETE", body: password === "" ? {} : { password } }),
  keys: async (): Promise<readonly ApiKey[]> => (await json<Page<ApiKey>>("/api-keys")).data,
  createKey: (name: string): Promise<ApiKey> =>
    json("/api-keys", { method: "POST", body: { name } }),
  revokeKey: (id: string): Promise<void> =>
    json(`/api-keys/${encodeURIComponent(id)}`, { method: "DELETE" }),
  /** The API's description of itself, from which the page learns what this server offers. */
  description: (): Promise<unknown> => json("/openapi.json"),
};
