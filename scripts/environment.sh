# Sourced by the other scripts: this clone's own Python environment. Everything is installed inside the clone.
#
#   environment run        what the daemon needs
#   environment develop    that, and what tests and checks need
#
# Afterwards $venv is its folder. It is made when it is not there, and installed into again only when pyproject.toml, the
# clone's place or the interpreter have changed. KALA_PYTHON names the interpreter to use: a path, a name, or a
# version such as 3.13. The first one used has .venv; others have .venv-3.13 and so on beside it.

clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

# Prints the version (3.12) of an interpreter that the project runs on; fails for any other.
version_of() {
    "$1" -c 'import sys; v = sys.version_info[:2]; print("%d.%d" % v); sys.exit(not (3, 11) <= v <= (3, 13))' 2>/dev/null
}

# Sets $python to a suitable interpreter.
choose_python() {
    local candidate
    if [ -n "${KALA_PYTHON:-}" ]; then
        case $KALA_PYTHON in
            [0-9]*) set -- "python$KALA_PYTHON" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$KALA_PYTHON"*/bin/python ;;
            *) set -- "$KALA_PYTHON" ;;
        esac
        for python in "$@"; do
            if version_of "$python" >/dev/null; then
                return
            fi
        done
        say "KALA_PYTHON: $KALA_PYTHON is not an interpreter that can be started here, of Python 3.11, 3.12 or 3.13"
        exit 2
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if version_of "$candidate" >/dev/null; then
            python=$candidate
            return
        fi
    done
    say "Python 3.11, 3.12 or 3.13 is needed, and none was found: KALA_PYTHON can name one"
    exit 2
}

environment() {
    local python version stamp wanted
    venv=$clone/.venv
    if [ -n "${KALA_PYTHON:-}" ] || ! version_of "$venv/bin/python" >/dev/null; then
        choose_python
        version=$(version_of "$python")
        if [ -x "$venv/bin/python" ] && [ "$(version_of "$venv/bin/python" || true)" != "$version" ]; then
            venv=$clone/.venv-$version
        fi
        if ! version_of "$venv/bin/python" >/dev/null; then
            say "making $venv with Python $version"
            rm -rf "$venv"
            "$python" -m venv "$venv" || {
                rm -rf "$venv"
                say "no environment could be made: on Debian, apt-get install python3-venv"
                exit 2
            }
        fi
    fi
    stamp=$venv/installed-$1
    wanted=$(printf '%s %s ' "$clone" "$(version_of "$venv/bin/python")" && cksum <"$clone/pyproject.toml")
    if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then
        return
    fi
    say "installing into $venv"
    case $1 in
        run) install -e "$clone[all]" ;;
        develop)
            # pip knows dependency groups since 25.1, and a new environment has the interpreter's own, older one
            install --upgrade 'pip >= 25.1'
            (cd "$clone" && install -e '.[all]' --group test --group check)
            ;;
    esac
    printf '%s\n' "$wanted" >"$stamp"
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
}
