"""Reads the text of a PDF from standard input, under limits: run as a program of its own.

A PDF may be made to exhaust whoever reads it, so memory, time, files and output are bounded by
the kernel before the first byte is read. The answer is one JSON object on standard output:
`{"text": …, "pages": n}` or `{"error": …}`; whoever ends without one has met a limit.
"""

import io
import json
import logging
import resource
import sys
import warnings


def main() -> None:
    """Arguments: bytes of memory, seconds of processor time, most pages, most characters."""
    memory, seconds, pages_max, chars_max = (int(word) for word in sys.argv[1:5])
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    logging.disable()
    warnings.simplefilter("ignore")
    json.dump(read(sys.stdin.buffer.read(), pages_max, chars_max), sys.stdout)


def read(data: bytes, pages_max: int, chars_max: int) -> dict[str, str | int]:
    """Return the answer for a PDF."""
    from pypdf import PdfReader  # noqa: PLC0415 - under the limits
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"error": "it is protected by a password"}
        pages = len(reader.pages)
        if pages > pages_max:
            return {"error": f"it has {pages} pages; at most {pages_max} are read"}
        parts: list[str] = []
        left = chars_max
        for page in reader.pages:
            text = page.extract_text().strip()
            left -= len(text)
            if left < 0:
                return {"error": f"it has more than {chars_max} characters of text"}
            parts.append(text)
    except MemoryError:
        return {"error": "reading it takes too much memory"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, OSError):
        return {"error": "it is damaged, or no PDF"}
    except (ArithmeticError, AssertionError, LookupError, NotImplementedError, ImportError):
        return {"error": "it has what this reader does not know"}
    text = "\n\n".join(part for part in parts if part)
    if not text:
        return {"error": "it holds no text (scanned pages are pictures of text)"}
    return {"text": text, "pages": pages}


if __name__ == "__main__":
    main()
