import { useEffect, useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import { Refused } from "../../api/problem.ts";
import type { Share as Shared } from "../../api/types.ts";
import { problemOf } from "../../app/parley.ts";
import { problemWords, timeOfDay } from "../../stream/words.ts";
import { CopyButton } from "../buttons.tsx";
import { Dialog } from "../dialog.tsx";
import type { DialogOf } from "../dialogs.tsx";

/** Gives a chat, as it is now, a link for everybody; takes it back. */
export function Share({ parley, chatId }: DialogOf) {
  const [share, setShare] = useState<Shared | null | undefined>(undefined);
  const [trouble, setTrouble] = useState("");

  const act = async (work: () => Promise<Shared | null>): Promise<void> => {
    try {
      setShare(await work());
      setTrouble("");
    } catch (error) {
      setTrouble(problemWords(problemOf(error)));
    }
  };
  useEffect(() => {
    void act(async () => {
      try {
        return await api.shareOf(chatId);
      } catch (error) {
        if (error instanceof Refused && error.problem.status === 404) return null;
        throw error;
      }
    });
  }, [chatId]);

  const url = share ? new URL(share.url, location.href).href : "";
  return (
    <Dialog title="Share the chat" onClose={() => parley.show(null)}>
      <p>
        Anyone with the link can read the chat as it is now: messages and names of files, nothing
        about you. What you write later stays yours.
      </p>
      {share && (
        <>
          <div class="link-row">
            <input readOnly aria-label="Link" value={url} onFocus={(e) => e.currentTarget.select()} />
            <CopyButton text={url} label="Copy the link" />
          </div>
          <p class="soft">
            As it was {timeOfDay(Date.parse(share.createdAt), Date.now())}.{" "}
            <a href={share.url} target="_blank" rel="noopener">
              Look at it
            </a>
          </p>
        </>
      )}
      <p class="trouble" role="alert">
        {trouble}
      </p>
      <div class="row end">
        {share && (
          <button
            class="danger"
            onClick={() => void act(() => api.unshare(chatId).then(() => null))}
          >
            Revoke the link
          </button>
        )}
        <button
          class="primary"
          disabled={share === undefined}
          onClick={() => void act(() => api.share(chatId))}
        >
          {share ? "Share as it is now" : "Make a link"}
        </button>
      </div>
    </Dialog>
  );
}
