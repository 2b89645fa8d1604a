import { useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import { problemOf } from "../../app/parley.ts";
import { problemWords } from "../../stream/words.ts";
import { CredentialFields, credentialsOf } from "../credentials.tsx";
import type { DialogOf } from "../dialogs.tsx";

/** Who is here; becoming an account, another password, taking one's chats along, leaving. */
export function AccountPart({ parley, state }: DialogOf) {
  const { user, abilities } = state;
  const [word, say] = useState("");
  const guest = user?.email == null;

  /** Does `work` for a form that was sent, and says what came of it. */
  const submit =
    (work: (form: HTMLFormElement) => Promise<string>) =>
    async (event: SubmitEvent): Promise<void> => {
      event.preventDefault();
      const form = event.currentTarget as HTMLFormElement;
      try {
        say(await work(form));
        form.reset();
      } catch (error) {
        say(problemWords(problemOf(error)));
      }
    };
  const upgrade = submit(async (form) => {
    parley.known(await api.upgrade(credentialsOf(form)));
    return "You have an account now. Your chats are in it.";
  });
  const changePassword = submit(async (form) => {
    const data = new FormData(form);
    await api.changePassword(String(data.get("current")), String(data.get("new")));
    return "The password is changed.";
  });
  const leave = submit(async (form) => {
    await api.deleteAccount(String(new FormData(form).get("password") ?? ""));
    parley.out();
    parley.tellTabs();
    return "";
  });

  return (
    <>
      <p>{guest ? "You are here as a guest." : `You are ${user.email} (${user.tier}).`}</p>
      <p class="soft" role="status">
        {word}
      </p>
      {guest && abilities.has("upgrade") && (
        <details open>
          <summary>Create an account, and keep your chats</summary>
          <form class="fields" onSubmit={(event) => void upgrade(event)}>
            <CredentialFields fresh />
            <div class="row end">
              <button class="primary">Create an account</button>
            </div>
          </form>
        </details>
      )}
      {!guest && abilities.has("password") && (
        <details>
          <summary>Change the password</summary>
          <form class="fields" onSubmit={(event) => void changePassword(event)}>
            <label>
              Password now
              <input name="current" type="password" autocomplete="current-password" required />
            </label>
            <label>
              New password
              <input
                name="new"
                type="password"
                autocomplete="new-password"
                minLength={8}
                required
              />
            </label>
            <div class="row end">
              <button class="primary">Change it</button>
            </div>
          </form>
        </details>
      )}
      {abilities.has("export") && (
        <details>
          <summary>Take all chats along</summary>
          <p class="row">
            <a class="button" href="/me/export?format=markdown" download>
              As Markdown
            </a>
            <a class="button" href="/me/export?format=json" download>
              As JSON
            </a>
          </p>
        </details>
      )}
      {abilities.has("leave") && (
        <details>
          <summary>{guest ? "Delete all of this guest" : "Delete the account"}</summary>
          <form class="fields" onSubmit={(event) => void leave(event)}>
            <p>All chats, files, keys and links are gone at once, and for good.</p>
            {!guest && (
              <label>
                Password
                <input name="password" type="password" autocomplete="current-password" required />
              </label>
            )}
            <div class="row end">
              <button class="danger">Delete everything</button>
            </div>
          </form>
        </details>
      )}
    </>
  );
}
