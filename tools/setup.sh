#!/bin/sh
# Make the virtual environment: `python -m venv`, the pinned uv from PyPI, then exactly what uv.lock names, every extra included.
set -eu

venv=${1:-.venv}
uv_version=$(sed -n 's/^ *"uv==\([^"]*\)",.*/\1/p' pyproject.toml)

if ! "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; then
    python=$(sh tools/find_python.sh)
    echo "Making $venv with $python"
    "$python" -m venv --clear "$venv"
fi
if [ "$("$venv/bin/uv" --version 2>/dev/null | cut -d ' ' -f 2)" != "$uv_version" ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi
# The lock names the interpreter's range and every file by hash: nothing is resolved here, no Python is downloaded.
UV_PROJECT_ENVIRONMENT=$venv UV_PYTHON_DOWNLOADS=never "$venv/bin/uv" sync --quiet --frozen --all-extras --python "$venv/bin/python"
