#!/bin/sh
# Runs its arguments with a Python that is new enough, or says in one sentence what to do.
# Works before anything is installed. PYTHON names another interpreter to try instead.
set -u

fits='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] < (3, 15))'
found=

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
  command -v "$candidate" >/dev/null 2>&1 || continue
  if "$candidate" -c "$fits" >/dev/null 2>&1; then
    exec "$candidate" "$@"
  fi
  version=$("$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) &&
    found=${found:-"$candidate is version $version"}
done

echo "Parley needs Python 3.11 to 3.14 (${found:-"no ${PYTHON:-python3} is on the PATH"}):" \
  "install one (Debian, Ubuntu: apt-get install python3 python3-venv)" \
  "or name it with make PYTHON=/path/to/python3." >&2
exit 1
