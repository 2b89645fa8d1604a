import type { Parley } from "../app/parley.ts";
import type { PageState } from "../app/state.ts";

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

/** A chat before its first question. */
export function Empty({ parley, state }: { readonly parley: Parley; readonly state: PageState }) {
  const chosen = state.models.find((each) => each.id === state.model);
  const ideas = chosen?.demonstration ? DEMONSTRATION_IDEAS : IDEAS;
  return (
    <div class="empty">
      <h2>What shall we talk about?</h2>
      <ul>
        {ideas.map((idea) => (
          <li key={idea}>
            <button onClick={() => void parley.talk.send(idea)}>{idea}</button>
          </li>
        ))}
      </ul>
    </div>
  );
}
