import { useState } from "preact/hooks";
import { problemOf, type Parley } from "../app/parley.ts";
import { problemWords } from "../stream/words.ts";

type Way = "login" | "signup";

const FORMS = {
  login: { title: "Log in", other: "signup", ask: "New here?", act: "Create an account" },
  signup: { title: "Create an account", other: "login", ask: "Have an account?", act: "Log in" },
} as const;

/** The first visit: chat at once as a guest, or with an account. */
export function Welcome({ parley }: { readonly parley: Parley }) {
  const [way, setWay] = useState<Way>("login");
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState("");
  const form = FORMS[way];

  const enter = async (as: "guest" | Way, email: string, password: string): Promise<void> => {
    setBusy(true);
    setTrouble("");
    try {
      await parley.logIn(as, { email, password });
    } catch (error) {
      setTrouble(problemWords(problemOf(error)));
      setBusy(false);
    }
  };

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    void enter(way, String(data.get("email")), String(data.get("password")));
  };

  return (
    <main class="welcome">
      <div class="card">
        <img src="./favicon.svg" alt="" width="40" height="40" />
        <h1>Parley</h1>
        <p class="lead">Answers that keep going: through a reload, a lost connection, a crash.</p>
        <button class="primary wide" disabled={busy} onClick={() => void enter("guest", "", "")}>
          Try it as a guest
        </button>
        <p class="or">
          <span>or</span>
        </p>
        <form onSubmit={submit} aria-labelledby="form-title">
          <h2 id="form-title">{form.title}</h2>
          <label>
            E-mail
            <input name="email" type="email" autocomplete="email" required />
          </label>
          <label>
            Password
            <input
              name="password"
              type="password"
              required
              minLength={way === "signup" ? 8 : undefined}
              autocomplete={way === "signup" ? "new-password" : "current-password"}
            />
          </label>
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
