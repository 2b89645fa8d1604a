import type { Attachment } from "../api/types.ts";
import type { Pending } from "../app/files.ts";
import type { Parley } from "../app/parley.ts";
import { useSelected } from "../app/store.ts";
import { size } from "../stream/words.ts";
import { IconButton } from "./buttons.tsx";
import { Icon } from "./icons.tsx";

interface ChipsProps {
  readonly parley: Parley;
  /** The model that would be asked, if it sees no pictures. */
  readonly blind: string | null;
}

/** The files that go out with the next prompt. */
export function Chips({ parley, blind }: ChipsProps) {
  const pending = useSelected(parley.files.store, (state) => state.pending);
  if (pending.length === 0) return null;
  return (
    <ul class="chips" aria-label="Attached files">
      {pending.map((each) => (
        <li key={each.key} class={problemOf(each, blind) === "" ? "chip" : "chip trouble"}>
          {each.file?.kind === "image" ? (
            <img src={`/uploads/${each.file.fileId}`} alt="" />
          ) : (
            <Icon name="file" />
          )}
          <span class="title">{each.name}</span>
          <span class="soft">
            {problemOf(each, blind) || (each.file === null ? "on its way…" : size(each.bytes))}
          </span>
          <IconButton
            icon="close"
            label={`Leave out ${each.name}`}
            onClick={() => parley.files.remove(each.key)}
          />
        </li>
      ))}
    </ul>
  );
}

function problemOf({ file, problem }: Pending, blind: string | null): string {
  if (problem !== "" || blind === null || file?.kind !== "image") return problem;
  return `${blind} sees no pictures`;
}

/** The files of a message that was sent. Pictures are shown; in a shared chat files have names
 * alone. */
export function Attached({ files }: { readonly files: readonly Attachment[] }) {
  if (files.length === 0) return null;
  return (
    <ul class="chips" aria-label="Attached files">
      {files.map((file, at) => (
        <li key={file.fileId ?? at} class="chip">
          {file.fileId === undefined ? (
            <>
              <Icon name="file" /> <span class="title">{file.name}</span>
            </>
          ) : (
            <a href={`/uploads/${file.fileId}`} target="_blank" rel="noopener">
              {file.kind === "image" ? (
                <img src={`/uploads/${file.fileId}`} alt={file.name} loading="lazy" />
              ) : (
                <Icon name="file" />
              )}
              <span class="title">{file.name}</span>
            </a>
          )}
        </li>
      ))}
    </ul>
  );
}
