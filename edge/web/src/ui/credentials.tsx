interface CredentialsProps {
  /** Whether a new password is chosen or a known one given. */
  readonly fresh: boolean;
}

/** The fields of an address and a password. */
export function CredentialFields({ fresh }: CredentialsProps) {
  return (
    <>
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
          minLength={fresh ? 8 : undefined}
          autocomplete={fresh ? "new-password" : "current-password"}
        />
      </label>
    </>
  );
}

/** The two fields of a form that was sent. */
export function credentialsOf(form: HTMLFormElement): { email: string; password: string } {
  const data = new FormData(form);
  return { email: String(data.get("email")), password: String(data.get("password")) };
}
