import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client.ts";
import type { SharedChat } from "../api/types.ts";
import { problemOf } from "../app/parley.ts";
import { problemWords } from "../stream/words.ts";
import { Attached } from "./chips.tsx";
import { Markdown } from "./markdown.tsx";

/** A chat that somebody shared: read-only, and without anybody's name. */
export function SharedPage({ shareId }: { readonly shareId: string }) {
  const [chat, setChat] = useState<SharedChat | null>(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    api.shared(shareId).then(setChat, (error: unknown) => setTrouble(problemWords(problemOf(error))));
  }, [shareId]);
  useEffect(() => {
    if (chat !== null) document.title = `${chat.title || "A shared chat"} · Parley`;
  }, [chat]);

  return (
    <main class="shared">
      <header>
        <h1 dir="auto">{chat?.title || "A shared chat"}</h1>
        <a class="button" href="/">
          Start your own
        </a>
      </header>
      <div class="column">
        {trouble !== "" && <p class="lead">{trouble}</p>}
        {chat !== null && (
          <p class="soft">
            As it was on {new Date(chat.createdAt).toLocaleString()}
            {chat.model && `, with ${chat.model}`}
          </p>
        )}
        {chat?.data.map((message, at) =>
          message.role === "user" ? (
            <article key={at} class="turn user" aria-label="Question">
              <Attached files={message.attachments ?? []} />
              <div class="bubble" dir="auto">
                {message.content}
              </div>
            </article>
          ) : (
            <article key={at} class="turn answer" aria-label="Answer">
              <Markdown text={message.content} done />
            </article>
          ),
        )}
      </div>
    </main>
  );
}
