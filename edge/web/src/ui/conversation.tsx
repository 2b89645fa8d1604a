import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { answerKey, type Shown } from "../app/chats.ts";
import type { PageState, Parley } from "../app/parley.ts";
import { Icon } from "./icons.tsx";
import { Turn } from "./turn.tsx";

const NEAR_PX = 48;
const IDEAS = [
  "Explain how a token travels from a GPU to this page",
  "Write a haiku about a machine that never loses its place",
  "Compare three ways to queue work fairly",
];
/** What the small model that ships with Parley was trained to answer. */
const DEMONSTRATION_IDEAS = [
  "What is Parley?",
  "What happens when I close the tab?",
  "What happens when a worker dies?",
];

interface ConversationProps {
  readonly parley: Parley;
  readonly state: PageState;
}

/** The messages, and the answer that is being written. Follows the end only while the reader is
 * there. */
export function Conversation({ parley, state }: ConversationProps) {
  const frame = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const [below, setBelow] = useState(false);

  const toEnd = (): void => {
    const element = frame.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  };
  const look = (): void => {
    const element = frame.current;
    if (element === null) return;
    const rest = element.scrollHeight - element.scrollTop - element.clientHeight;
    following.current = rest < NEAR_PX;
    setBelow(!following.current);
  };

  useEffect(() => {
    if (frame.current === null || inner.current === null) return;
    const sizes = new ResizeObserver(() => (following.current ? toEnd() : look()));
    sizes.observe(inner.current);
    sizes.observe(frame.current);
    return () => sizes.disconnect();
  }, []);

  useLayoutEffect(() => {
    following.current = true;
    toEnd();
  }, [state.chatId, state.run === null ? "" : state.run.runId]);

  const empty = state.messages.length === 0 && state.run === null && !state.loading;
  return (
    <div class="frame">
      <div class="transcript" ref={frame} onScroll={look} tabIndex={0} role="region" aria-label="Conversation">
        <div class="column" ref={inner}>
          {state.missing && <p class="lead">This chat is not there. It may have been deleted.</p>}
          {empty && !state.missing && <Empty parley={parley} ideas={ideas(state)} />}
          {state.loading && <p class="lead">Loading…</p>}
          {state.earlier !== null && (
            <button class="quiet earlier" onClick={() => void parley.loadEarlier()}>
              Earlier messages
            </button>
          )}
          {turns(state)}
        </div>
      </div>
      {below && (
        <button class="to-end" onClick={toEnd}>
          <Icon name="down" /> {state.run === null ? "To the end" : "New text below"}
        </button>
      )}
    </div>
  );
}

function turns({ messages, run }: PageState) {
  const drawn = messages.map((message) => (
    <Turn
      key={message.key}
      role={message.role}
      text={message.text}
      status={message.status}
      note={note(message)}
      recoveries={message.recoveries}
    />
  ));
  if (run !== null) {
    const key = answerKey(run.runId);
    drawn.push(
      <Turn key={key} role="assistant" text={run.text} status="live" note="" recoveries={0} />,
    );
  }
  return drawn;
}

function note(message: Shown): string {
  switch (message.status) {
    case "cancelled":
      return "Stopped";
    case "failed":
      return message.problem;
    case "pending":
      return "Waiting for the answer…";
    default:
      return message.finishReason === "length" ? "Ended at the length limit" : "";
  }
}

function ideas({ models, model }: PageState): readonly string[] {
  const chosen = models.find((each) => each.id === model);
  return chosen?.demonstration ? DEMONSTRATION_IDEAS : IDEAS;
}

interface EmptyProps {
  readonly parley: Parley;
  readonly ideas: readonly string[];
}

function Empty({ parley, ideas }: EmptyProps) {
  return (
    <div class="empty">
      <h2>What shall we talk about?</h2>
      <ul>
        {ideas.map((idea) => (
          <li key={idea}>
            <button onClick={() => void parley.send(idea)}>{idea}</button>
          </li>
        ))}
      </ul>
    </div>
  );
}
