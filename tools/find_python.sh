#!/bin/sh
# Print the newest Python on PATH that can make a virtual environment, or say in one line what to install.
# A candidate counts only if it runs: a version manager's shim may exist for a Python that does not.
set -u

python_without_venv=
IFS=:
for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
    for directory in $PATH; do
        candidate=${directory:-.}/$name
        [ -x "$candidate" ] && [ ! -d "$candidate" ] || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            exit 0
        fi
        python_without_venv=${python_without_venv:-$candidate}
    done
done

if [ -n "$python_without_venv" ]; then
    version=$("$python_without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    printf '%s\n' "$python_without_venv lacks venv or ensurepip: install python$version-venv (Debian, Ubuntu: apt-get install python$version-venv) and try again." >&2
else
    printf '%s\n' "No Python 3.11 or newer runs on PATH: install one with venv (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python) and try again." >&2
fi
exit 1
