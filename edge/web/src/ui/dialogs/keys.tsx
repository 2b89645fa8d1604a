import { useEffect, useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import type { ApiKey } from "../../api/types.ts";
import { problemOf } from "../../app/parley.ts";
import { problemWords } from "../../stream/words.ts";
import { CopyButton } from "../buttons.tsx";

/** Keys for programs: made, shown once, revoked. */
export function Keys() {
  const [keys, setKeys] = useState<readonly ApiKey[]>([]);
  const [made, setMade] = useState<ApiKey | null>(null);
  const [trouble, setTrouble] = useState("");

  const act = async (work: () => Promise<ApiKey | null>): Promise<void> => {
    try {
      setMade(await work());
      setKeys(await api.keys());
      setTrouble("");
    } catch (error) {
      setTrouble(problemWords(problemOf(error)));
    }
  };
  useEffect(() => void act(async () => null), []);

  const create = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const name = String(new FormData(form).get("name")).trim();
    void act(() => api.createKey(name));
    form.reset();
  };
  return (
    <>
      <ul class="keys-list">
        {keys.map((key) => (
          <li key={key.id} class="row">
            <bdi class="title">{key.name || "Unnamed"}</bdi>
            <button
              class="danger"
              aria-label={`Revoke ${key.name}`}
              onClick={() => void act(() => api.revokeKey(key.id).then(() => null))}
            >
              Revoke
            </button>
          </li>
        ))}
      </ul>
      {made?.key && (
        <div class="link-row">
          <input readOnly aria-label="The new key, shown only now" value={made.key} />
          <CopyButton text={made.key} label="Copy the key" />
        </div>
      )}
      <form class="link-row" onSubmit={create}>
        <input name="name" aria-label="Name of a new key" placeholder="Name of a new key" required />
        <button>Make a key</button>
      </form>
      <p class="trouble" role="alert">
        {trouble}
      </p>
    </>
  );
}
