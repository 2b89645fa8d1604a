import { useState } from "preact/hooks";
import type { Credentials } from "../api/client.ts";
import { problemOf, type Parley } from "../app/parley.ts";
import { problemWords } from "../stream/words.ts";
import { CredentialFields, credentialsOf } from "./credentials.tsx";

type Way = "login" | "signup";

const FORMS = {
  login: { title: "Log in", other: "signup", ask: "New here?", act: "Create an account" },
  signup: { title: "Create an account", other: "login", ask: "Have an account?", act: "Log in" },
} as const;
const NOBODY: Credentials = { email: "", password: "" };

/** The first visit: chat at once as a guest, or with an account. */
export function Welcome({ parley }: { readonly parley: Parley }) {
  const [way, setWay] = useState<Way>("login");
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const form = FORMS[way];

  const enter = async (as: "guest" | Way, credentials: Credentials): Promise<void> => {
    setBusy(true);
    setTrouble("");
    try {
      await parley.logIn(as, credentials);
    } catch (error) {
      setTrouble(problemWords(problemOf(error)));
      setBusy(false);
    }
  };

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    void enter(way, credentialsOf(event.currentTarget as HTMLFormElement));
  };

  return (
    <main class="welcome">
      <div class="card">
        <img src="/favicon.svg" alt="" width="44" height="44" />
        <h1>Parley</h1>
        <p class="lead">Answers that keep going: through a reload, a lost connection, a crash.</p>
        <button class="primary wide" disabled={busy} onClick={() => void enter("guest", NOBODY)}>
          Try it as a guest
        </button>
        <p class="or">
          <span>or</span>
        </p>
        <form class="fields" onSubmit={submit} aria-labelledby="form-title">
          <h2 id="form-title">{form.title}</h2>
          <CredentialFields fresh={way === "signup"} />
          <button class="wide" type="submit" disabled={busy}>
            {form.title}
          </button>
        </form>
        <p class="trouble" role="alert">
          {trouble}
        </p>
        <p class="switch">
          {form.ask}{" "}
          <button type="button" class="link" onClick={() => setWay(form.other)}>
            {form.act}
          </button>
        </p>
      </div>
    </main>
  );
}
