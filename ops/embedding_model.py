"""Where the files of the embedding model are."""

from ops.model_files import ModelFiles, NoModelFiles, find_model
from ops.settings import Settings, source_of


def embedding_files(settings: Settings, *, weights: bool) -> ModelFiles | None:
    """Return the files of the embedding model, None if none is wanted. `weights` as for
    `find_model`.

    Raises:
        NoModelFiles: they can't be found; the message names the setting and its source.
    """
    name = settings.embedding_model
    if not name:
        return None
    try:
        return find_model(name, weights=weights)
    except NoModelFiles as error:
        source = source_of(settings, "embedding_model")
        raise NoModelFiles(
            f"embedding_model = {name!r} ({source}) can't be used: {error}"
        ) from error
