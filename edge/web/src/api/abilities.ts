/** What this server offers, read from its own OpenAPI description, so that the page shows no
 * control that nothing answers. Pure. */

const ROUTES = {
  search: "get /search",
  share: "post /chats/{chatId}/share",
  upload: "post /uploads",
  regenerate: "post /chats/{chatId}/messages/{messageId}/regenerate",
  rename: "patch /chats/{chatId}",
  remove: "delete /chats/{chatId}",
  usage: "get /usage",
  settings: "put /me/settings",
  upgrade: "post /auth/upgrade",
  password: "post /auth/password",
  leave: "delete /me",
  export: "get /me/export",
  keys: "post /api-keys",
} as const;

export type Ability = keyof typeof ROUTES | "edit";

export type Abilities = ReadonlySet<Ability>;

export const NOTHING: Abilities = new Set();

/** The abilities in an OpenAPI document; none for anything else. Editing is a field of the prompt
 * (`parentId`), not a route of its own. */
export function abilitiesOf(document: unknown): Abilities {
  const paths = field(document, "paths");
  const found = new Set<Ability>();
  for (const [name, route] of Object.entries(ROUTES) as [keyof typeof ROUTES, string][]) {
    const [method, path] = route.split(" ") as [string, string];
    if (field(field(paths, path), method) !== undefined) found.add(name);
  }
  const prompt = field(field(field(document, "components"), "schemas"), "NewPrompt");
  if (field(field(prompt, "properties"), "parentId") !== undefined) found.add("edit");
  return found;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
