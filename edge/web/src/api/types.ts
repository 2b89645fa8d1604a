/** What the edge sends and takes, as `api.md` states it. Unknown fields are ignored. */

export interface User {
  readonly id: string;
  readonly email: string | null;
  readonly tier: string;
}

export interface Model {
  readonly id: string;
  readonly pool: string;
  readonly contextLength: number;
  readonly engine: string;
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
}

export interface Usage {
  readonly promptTokens?: number;
  readonly completionTokens?: number;
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
