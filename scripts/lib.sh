# What the scripts share. Sourced, from the root of the checkout.

home=.keystead
log=$home/log/setup.log

say() { printf '%s\n' "$*"; }
die() { printf 'keystead: %s\n' "$*" >&2; exit 1; }

# step TEXT COMMAND...: say what is being done; the command's own output goes to the log, and is shown if it fails.
step() {
  local text=$1 started=$SECONDS
  shift
  mkdir -p "$home/log"
  printf '%s ... ' "$text"
  if "$@" >>"$log" 2>&1 </dev/null; then
    printf 'done (%s s)\n' "$((SECONDS - started))"
  else
    printf 'failed\n'
    tail -n 25 "$log" >&2
    die "$text failed; the whole log is in $log"
  fi
}

# need_packages PACKAGE...: install what is missing of Debian's packages, or say how to.
need_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "Some packages are missing. Run this, then try again:"
    say "  sudo apt-get install --no-install-recommends -y ${missing[*]}"
    exit 1
  fi
  step "Installing ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q && apt-get install -q -y --no-install-recommends "$@"
}

# need_python LOCK: a virtual environment with what the lock file names, and the keystead command.
need_python() {
  local lock=$1 stamp
  stamp=$(cat "$lock" pyproject.toml | sha256sum | cut -c1-16)
  [ "$(cat ".venv/.made-of-$(basename "$lock")" 2>/dev/null)" = "$stamp" ] && return 0
  [ -x .venv/bin/python ] || step "Making the virtual environment" python3 -m venv .venv
  step "Installing $lock" .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
  step "Installing the keystead command" \
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  printf '%s' "$stamp" >".venv/.made-of-$(basename "$lock")"
}
