"""Files behind the port `contracts.ports.files`: a folder, an S3-like store, or memory.

Owns: the adapters. Accepts: the calls of the port. Emits: nothing. One suite,
`tests/integration/files`, runs on memory, a folder and a server that speaks S3's protocol.
"""

from pathlib import Path

from contracts.errors import ParleyError
from contracts.ports.files import Files


class BadFilesAddress(ParleyError):
    """An address that is none of `file:DIR`, `s3://BUCKET[/PREFIX]`, `memory:`."""


def open_files(url: str) -> Files:
    """Return the store that `url` names.

    Args:
        url: `file:DIR` (made when missing); `s3://BUCKET[/PREFIX]`, with endpoint, region and
            credentials in the usual environment variables (`AWS_ENDPOINT_URL`, `AWS_REGION`,
            `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`; `AWS_ALLOW_HTTP=true` for an endpoint
            without TLS); or `memory:`.
    Raises:
        BadFilesAddress: it is none of these.
        FilesUnavailable: the folder can't be made.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory":
        from ops.files.memory import MemoryFiles  # noqa: PLC0415 - only what is used loads

        return MemoryFiles()
    if scheme == "file" and rest:
        from ops.files.object_store import folder  # noqa: PLC0415

        return folder(Path(rest))
    bucket, _, prefix = rest.removeprefix("//").partition("/")
    if scheme == "s3" and rest.startswith("//") and bucket:
        from ops.files.object_store import s3  # noqa: PLC0415

        return s3(bucket, prefix)
    raise BadFilesAddress(
        f"{scheme}:… is no address of files: use file:DIR, s3://BUCKET[/PREFIX] or memory:"
    )
