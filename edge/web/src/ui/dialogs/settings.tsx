import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import type { Settings as Wishes } from "../../api/types.ts";
import { theme, type Theme } from "../../app/keeping.ts";
import { problemOf } from "../../app/parley.ts";
import { problemWords } from "../../stream/words.ts";
import { Dialog } from "../dialog.tsx";
import type { DialogOf } from "../dialogs.tsx";
import { AccountPart } from "./account.tsx";
import { Keys } from "./keys.tsx";

const USUAL_TEMPERATURE = 0.7;
const THEMES: readonly (readonly [Theme, string])[] = [
  ["", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

/** What the user may set, and the account. */
export function Settings(props: DialogOf) {
  const { parley, state } = props;
  return (
    <Dialog title="Settings" class="wide" onClose={() => parley.show(null)}>
      <Part title="Appearance">
        <Appearance />
      </Part>
      {state.abilities.has("settings") && (
        <Part title="Every chat">
          <Chatting {...props} />
        </Part>
      )}
      <Part title="Account">
        <AccountPart {...props} />
      </Part>
      {state.abilities.has("keys") && state.user?.email != null && (
        <Part title="API keys">
          <Keys />
        </Part>
      )}
    </Dialog>
  );
}

function Part({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  return (
    <section class="part">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Appearance() {
  const [chosen, choose] = useState(theme.get());
  return (
    <fieldset class="choice">
      <legend class="unseen">Colours</legend>
      {THEMES.map(([value, name]) => (
        <label key={value}>
          <input
            type="radio"
            name="theme"
            checked={chosen === value}
            onChange={() => {
              theme.set(value);
              choose(value);
            }}
          />
          {name}
        </label>
      ))}
    </fieldset>
  );
}

/** The system prompt, the temperature and the usual model, kept at the server. */
function Chatting({ parley, state }: DialogOf) {
  const [wishes, setWishes] = useState<Wishes | null>(null);
  const [word, say] = useState("");

  useEffect(() => {
    api.settings().then(setWishes, (error: unknown) => say(problemWords(problemOf(error))));
  }, []);
  if (wishes === null) return <p class="soft">{word || "Loading…"}</p>;

  const change = (change: Wishes): void => {
    setWishes({ ...wishes, ...change });
    say("");
  };
  const save = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    try {
      const { systemPrompt = null, temperature = null, model = null } = wishes;
      setWishes(await api.changeSettings({ systemPrompt, temperature, model }));
      if (model !== null) parley.setModel(model);
      say("Saved");
    } catch (error) {
      say(problemWords(problemOf(error)));
    }
  };
  const own = wishes.temperature ?? null;
  return (
    <form class="fields" onSubmit={(event) => void save(event)}>
      <label>
        What the model should know and how it should answer
        <textarea
          rows={4}
          dir="auto"
          maxLength={8_000}
          value={wishes.systemPrompt ?? ""}
          onInput={(event) => change({ systemPrompt: event.currentTarget.value })}
        />
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={own !== null}
          onChange={(e) => change({ temperature: e.currentTarget.checked ? USUAL_TEMPERATURE : null })}
        />
        A temperature of my own
      </label>
      {own !== null && (
        <label class="slider">
          <span>Exact</span>
          <input
            type="range"
            aria-label="Temperature"
            min={0}
            max={2}
            step={0.1}
            value={own}
            onInput={(event) => change({ temperature: Number(event.currentTarget.value) })}
          />
          <span>Daring</span>
          <output>{own.toFixed(1)}</output>
        </label>
      )}
      {state.models.length > 1 && (
        <label>
          Usual model
          <select
            value={wishes.model ?? ""}
            onChange={(event) => change({ model: event.currentTarget.value || null })}
          >
            <option value="">The server's choice</option>
            {state.models.map((model) => (
              <option key={model.id}>{model.id}</option>
            ))}
          </select>
        </label>
      )}
      <div class="row end">
        <span class="soft" role="status">
          {word}
        </span>
        <button class="primary">Save</button>
      </div>
    </form>
  );
}
