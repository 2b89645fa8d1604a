import type { Model } from "../api/types.ts";
import type { Parley } from "../app/parley.ts";
import type { PageState } from "../app/state.ts";
import { Icon } from "./icons.tsx";
import { Menu } from "./menu.tsx";

const ABILITIES: Readonly<Record<string, string>> = {
  vision: "sees pictures",
  tools: "uses tools",
  reasoning: "thinks before it answers",
};

/** Which model answers, and what each is good for. */
export function ModelChoice({ parley, state }: { readonly parley: Parley; readonly state: PageState }) {
  const model = state.models.find((each) => each.id === state.model);
  if (model === undefined) return null;
  return (
    <div class="model">
      <Menu
        class="quiet small"
        label={`Model: ${model.id}`}
        button={
          <>
            <span class="title">{model.id}</span>
            <Icon name="chevron" />
          </>
        }
      >
        <fieldset class="models">
          <legend class="unseen">Model</legend>
          {state.models.map((each) => (
            <label key={each.id}>
              <input
                type="radio"
                name="model"
                checked={each.id === model.id}
                disabled={!each.healthy}
                onChange={() => parley.setModel(each.id)}
              />
              <span>
                <b>{each.id}</b>
                <span class="soft">{about(each).join(" · ")}</span>
              </span>
            </label>
          ))}
        </fieldset>
      </Menu>
      {model.engine === "sim" ? (
        <span class="badge">simulated engine</span>
      ) : (
        model.demonstration && <span class="badge">demonstration model</span>
      )}
      {model.level && <span class="badge">busy: {model.level}</span>}
    </div>
  );
}

function about(model: Model): readonly string[] {
  const parts = [];
  if (model.description) parts.push(model.description);
  for (const [name, words] of Object.entries(ABILITIES)) {
    if (model.abilities?.[name]) parts.push(words);
  }
  if (model.contextLength) parts.push(`reads ${model.contextLength.toLocaleString()} tokens`);
  if (!model.healthy) parts.push("not available now");
  else if (model.queued) parts.push(`${model.queued} waiting`);
  return parts;
}

/** What an answer of this model is worth, where that is not plain. */
export function modelNote(model: Model | undefined): string {
  if (model?.engine === "sim") {
    return "The engine is simulated: its words mean nothing, all else is real.";
  }
  if (model?.demonstration) {
    return `${model.id} is a small demonstration model: it knows a little about Parley and no more.`;
  }
  return "";
}
