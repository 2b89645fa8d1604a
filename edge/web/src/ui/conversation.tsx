import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { answerKey, exchanges } from "../app/chats.ts";
import type { Parley } from "../app/parley.ts";
import { divided, NO_PARTS } from "../app/parts.ts";
import type { PageState } from "../app/state.ts";
import { Empty } from "./empty.tsx";
import { Icon } from "./icons.tsx";
import { Turns } from "./turn.tsx";

const NEAR_PX = 48;
/** How far above what is seen older messages are fetched. */
const AHEAD = "1200px 0px 0px 0px";

interface ConversationProps {
  readonly parley: Parley;
  readonly state: PageState;
}

/** The messages, and the answer that is being written under its question, which stays near the
 * top while there is room. Follows the end only while the reader is there. */
export function Conversation({ parley, state }: ConversationProps) {
  const frame = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const [below, setBelow] = useState(false);
  const shown = useMemo(() => exchanges(state.messages), [state.messages]);
  const known = useRef(NO_PARTS);
  const parts = useMemo(() => divided(shown, known.current), [shown]);
  known.current = parts;

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
  }, [state.chatId, state.pinned, state.answering === null ? "" : state.answering]);
  useKeptPlace(frame, shown[0]?.key ?? "");
  useLayoutEffect(() => {
    if (state.sought === null) return;
    const found = inner.current?.querySelector(`[data-id="${CSS.escape(state.sought)}"]`);
    if (!found) return;
    following.current = false;
    found.scrollIntoView({ block: "center" });
  }, [state.sought, state.messages]);

  const live = state.answering === null ? null : answerKey(state.answering);
  const loose = live !== null && shown.length === 0;
  const empty = shown.length === 0 && live === null && !state.loading && !state.missing;
  return (
    <div class="frame">
      <div
        class="transcript"
        ref={frame}
        onScroll={look}
        tabIndex={0}
        role="region"
        aria-label="Conversation"
      >
        <div class={empty ? "column middle" : "column"} ref={inner}>
          {state.missing && <p class="lead">This chat is not there. It may have been deleted.</p>}
          {empty && <Empty parley={parley} state={state} />}
          {state.loading && <p class="lead">Loading…</p>}
          {state.earlier !== null && <Earlier parley={parley} root={frame} at={state.earlier} />}
          {parts.list.map((part) => (
            <div class="stretch" key={part.key}>
              {part.exchanges.map((exchange) => {
                const last = exchange === shown.at(-1);
                return (
                  <Turns
                    key={exchange.key}
                    parley={parley}
                    question={exchange.question}
                    answer={exchange.answer}
                    live={last ? live : null}
                    pinned={last && state.pinned !== null}
                    last={last}
                    editing={exchange.question !== null && state.editing === exchange.question.id}
                    sought={state.sought}
                    busy={live !== null}
                    abilities={state.abilities}
                    models={state.models}
                  />
                );
              })}
            </div>
          ))}
          {loose && (
            <div class="stretch">
              <Turns
                parley={parley}
                question={null}
                answer={null}
                live={live}
                pinned
                last
                editing={false}
                sought={null}
                busy
                abilities={state.abilities}
                models={state.models}
              />
            </div>
          )}
        </div>
      </div>
      {below && !empty && (
        <button class="to-end" onClick={toEnd}>
          <Icon name="down" /> {live === null ? "To the end" : "New text below"}
        </button>
      )}
    </div>
  );
}

type FrameRef = { readonly current: HTMLDivElement | null };

/** Keeps what is read where it is when older messages come in above it. */
function useKeptPlace(frame: FrameRef, firstKey: string): void {
  const before = useRef({ key: firstKey, top: 0, element: null as Element | null });
  if (before.current.key !== firstKey && frame.current !== null) {
    const element = frame.current.querySelector(".exchange");
    before.current.element = element;
    before.current.top = element?.getBoundingClientRect().top ?? 0;
  }
  useLayoutEffect(() => {
    const { element, top } = before.current;
    before.current = { key: firstKey, top: 0, element: null };
    if (frame.current === null || element === null || !element.isConnected) return;
    frame.current.scrollTop += element.getBoundingClientRect().top - top;
  }, [firstKey]);
}

interface EarlierProps {
  readonly parley: Parley;
  readonly root: FrameRef;
  /** The cursor of the page that is fetched. */
  readonly at: string;
}

/** Fetches older messages when it comes near; also by hand, where nothing is observed. */
function Earlier({ parley, root, at }: EarlierProps) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (button.current === null) return;
    const near = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) void parley.loadEarlier();
      },
      { root: root.current, rootMargin: AHEAD },
    );
    near.observe(button.current);
    return () => near.disconnect();
  }, [at]);
  return (
    <>
      <button class="quiet earlier" ref={button} onClick={() => void parley.loadEarlier()}>
        Earlier messages
      </button>
      <p class="on-paper">Earlier messages are left out here. Ctrl P prints them all.</p>
    </>
  );
}
