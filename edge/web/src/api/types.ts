/** What the edge sends and takes, as `api.md` states it. Unknown fields are ignored. */

export interface User {
  readonly id: string;
  readonly email: string | null;
  readonly tier: string;
  readonly guest?: boolean;
}

/** What the user set for every chat; null or empty: as the model's makers advise. */
export interface Settings {
  readonly systemPrompt?: string | null;
  readonly temperature?: number | null;
  readonly model?: string | null;
}

export interface Budget {
  readonly limit: number;
  readonly remaining: number;
  readonly refillPerSecond: number;
  /** When it is full again, if nothing is used until then. */
  readonly fullAt?: string | null;
}

export interface UsageView {
  readonly tier: string;
  readonly concurrency?: { readonly limit: number; readonly running: number } | null;
  readonly budget?: Budget | null;
}

export type FileKind = "text" | "code" | "pdf" | "image";

/** A file of a message. A shared chat names its files without their ids. */
export interface Attachment {
  readonly fileId?: string;
  readonly name: string;
  readonly mediaType: string;
  readonly bytes?: number;
  readonly tokens?: number;
  readonly kind: FileKind;
}

export interface Found {
  readonly chatId: string;
  readonly title: string;
  readonly messageId: string;
  readonly role: "user" | "assistant";
  readonly snippet: string;
  /** Where the words stand in the snippet: code points, end exclusive. */
  readonly ranges?: readonly (readonly [number, number])[];
  readonly createdAt: string;
}

export interface Share {
  readonly shareId: string;
  readonly url: string;
  readonly createdAt: string;
}

export interface SharedChat {
  readonly title: string;
  readonly createdAt: string;
  readonly model?: string | null;
  readonly data: readonly {
    readonly role: "user" | "assistant";
    readonly content: string;
    readonly createdAt: string;
    readonly attachments?: readonly Attachment[];
  }[];
}

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly key?: string;
  readonly createdAt?: string;
  readonly lastUsedAt?: string | null;
}

export interface Model {
  readonly id: string;
  readonly pool: string;
  readonly contextLength: number | null;
  readonly engine: string | null;
  readonly description?: string | null;
  readonly abilities?: Readonly<Record<string, boolean>>;
  /** The name of the level at which the pool saves work; null: it doesn't. */
  readonly level?: string | null;
  readonly queued?: number | null;
  readonly demonstration: boolean;
  readonly default: boolean;
  readonly healthy: boolean;
}

export interface Chat {
  readonly chatId: string;
  readonly title: string;
  readonly model?: string | null;
  readonly createdAt: string;
  readonly activeAt?: string;
  readonly activeRunId?: string | null;
  readonly pinned?: boolean;
}

export interface Usage {
  readonly promptTokens?: number;
  readonly completionTokens?: number;
  readonly degraded?: readonly string[];
}

export type MessageStatus = "complete" | "pending" | "cancelled" | "failed";

export interface Message {
  readonly messageId: string;
  readonly role: "user" | "assistant";
  readonly content: string;
  readonly createdAt: string;
  readonly status: MessageStatus;
  readonly runId?: string | null;
  readonly model?: string | null;
  readonly finishReason?: string | null;
  readonly parentId?: string | null;
  readonly usage?: Usage | null;
  readonly attachments?: readonly Attachment[];
  /** The messages that stand in this one's place, itself among them, oldest first. */
  readonly alternatives?: readonly { readonly messageId: string }[];
  /** Why a failed answer failed. */
  readonly error?: Problem | null;
}

export interface ActiveRun {
  readonly runId: string;
  readonly messageId: string;
}

export interface Page<Item> {
  readonly data: readonly Item[];
  readonly nextCursor?: string | null;
}

export interface MessagePage extends Page<Message> {
  readonly activeRun?: ActiveRun | null;
}

/** RFC 9457, with Parley's `code`. `retryAfterMs` is filled from `Retry-After` where absent. */
export interface Problem {
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly status: number;
  readonly requestId?: string;
  readonly retryAfterMs?: number | null;
  readonly activeRunId?: string | null;
}

/** Fields that every event of a run carries. */
interface Numbered {
  readonly runId: string;
  readonly seq: number;
}

export type RunEvent = Numbered &
  (
    | {
        readonly type: "run.queued";
        readonly position: number;
        readonly etaMs: number | null;
        readonly degraded?: readonly string[];
      }
    | { readonly type: "run.started"; readonly model: string; readonly messageId: string }
    | { readonly type: "message.delta"; readonly delta: string }
    | { readonly type: "message.snapshot"; readonly text: string }
    | { readonly type: "run.recovered"; readonly gapMs: number }
    | {
        readonly type: "run.completed";
        readonly finish_reason: "stop" | "length";
        readonly usage: Usage;
        readonly messageId: string;
      }
    | { readonly type: "run.cancelled"; readonly usage: Usage; readonly messageId: string }
    | { readonly type: "run.failed"; readonly error: Problem }
  );
