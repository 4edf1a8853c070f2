#!/bin/sh
# Installs Farhand: the client (farhand) and the server (farhandd) of one release, for this system and CPU.
# Everything is in functions and the last line starts it, so that a script cut off on its way does nothing.
set -eu

usage() {
  cat <<'END'
Usage: install.sh --from URL|DIR [--prefix DIR]
       install.sh --version | --uninstall [--prefix DIR]

Installs farhand and farhandd for this system and CPU. Both are checked against the release's SHA256SUMS and
tried once before either replaces what was there. Asks nothing.

  --from URL|DIR  where the release is: an http(s) URL or a directory that holds SHA256SUMS and the
                  executables (or set FARHAND_INSTALL_FROM)
  --prefix DIR    install into DIR/bin (default: /usr/local for root, ~/.local for others)
  --version       print the versions installed in the prefix; exit code 1 if there are none
  --uninstall     remove both executables from the prefix; jobs and settings stay
  --help          print this

sh -s -- passes options to a script that is read from a pipe:  curl -fsS URL/install.sh | sh -s -- --from URL
END
}

say() {
  printf '%s\n' "$*"
}

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

misused() {
  printf 'install.sh: %s\nTry install.sh --help\n' "$*" >&2
  exit 2
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# The platform as the release's file names have it.
find_platform() {
  os=$(uname -s)
  cpu=$(uname -m)
  case $cpu in
    x86_64 | amd64) cpu=x64 ;;
    aarch64 | arm64) cpu=arm64 ;;
    *) fail "No release for the CPU \"$cpu\": there are x64 and arm64" ;;
  esac
  case $os in
    Linux) if is_musl; then platform=linux-$cpu-musl; else platform=linux-$cpu; fi ;;
    Darwin) platform=darwin-$cpu ;;
    MINGW* | MSYS* | CYGWIN* | Windows*)
      fail "This script is for Linux and macOS. On Windows, download farhand-windows-$cpu.exe and" \
        "farhandd-windows-$cpu.exe by hand, and rename them to farhand.exe and farhandd.exe"
      ;;
    *) fail "No release for the system \"$os\": there are Linux, macOS and Windows" ;;
  esac
}

# ldd belongs to the system's own libc; a loader may be there for the sake of foreign programs, on both sides.
is_musl() {
  case $(ldd --version 2>&1 || true) in
    *musl*) return 0 ;;
    *GLIBC* | *GNU* | *"Free Software"*) return 1 ;;
  esac
  for loader in /lib/ld-linux-*.so.* /lib64/ld-linux-*.so.*; do
    if [ -e "$loader" ]; then return 1; fi
  done
  for loader in /lib/ld-musl-*.so.1; do
    if [ -e "$loader" ]; then return 0; fi
  done
  return 1
}

find_checksummer() {
  if has sha256sum; then
    checksummer=sha256sum
  elif has shasum; then
    checksummer=shasum
  elif has openssl; then
    checksummer=openssl
  else
    fail "Cannot verify the download: sha256sum, shasum or openssl is needed and none is here." \
      "Nothing was installed"
  fi
}

checksum() {
  case $checksummer in
    sha256sum) sha256sum <"$1" ;;
    shasum) shasum -a 256 <"$1" ;;
    openssl) openssl dgst -sha256 -r <"$1" ;;
  esac | cut -d ' ' -f 1
}

find_downloader() {
  if has curl; then
    downloader=curl
  elif has wget; then
    case $(wget --version 2>&1 || true) in
      *"GNU Wget"*) downloader=gnu-wget ;;
      *) downloader=wget ;;
    esac
  else
    fail "Cannot download: curl or wget is needed and neither is here. Download by hand and use --from DIR"
  fi
}

# Becomes the download, so that whoever kills this process kills the download. A minute of silence ends it,
# except with busybox wget, which does not have that option everywhere.
download() {
  case $downloader:$1 in
    # A redirect must not leave TLS.
    curl:https://*) exec curl -fsSL --connect-timeout 60 -y 60 -Y 1 --proto '=https' -o "$2" "$1" ;;
    curl:*) exec curl -fsSL --connect-timeout 60 -y 60 -Y 1 -o "$2" "$1" ;;
    gnu-wget:*) exec wget -q -T 60 -t 2 -O "$2" "$1" ;;
    wget:*) exec wget -q -O "$2" "$1" ;;
  esac
}

# Runs a command in the background and waits, so that a signal is acted on at once, not when the command ends.
interruptible() {
  "$@" &
  child=$!
  if wait "$child"; then status=0; else status=$?; fi
  child=
  return "$status"
}

fetch() {
  case $from in
    http://* | https://*)
      interruptible download "$from/$1" "$scratch/$1" ||
        fail "Cannot download \"$from/$1\". Nothing was installed"
      ;;
    *)
      [ -f "$from/$1" ] || fail "Cannot find \"$from/$1\". Nothing was installed"
      interruptible cp "$from/$1" "$scratch/$1" || fail "Cannot copy \"$from/$1\". Nothing was installed"
      ;;
  esac
}

verify() {
  expected=$(awk -v name="$1" '$2 == name || $2 == "*" name { print $1; exit }' "$scratch/SHA256SUMS")
  [ -n "$expected" ] || fail "Cannot verify \"$1\": SHA256SUMS has no line for it. Nothing was installed"
  actual=$(checksum "$scratch/$1")
  [ "$actual" = "$expected" ] ||
    fail "Refused \"$1\": its checksum is \"$actual\", SHA256SUMS says \"$expected\"." \
      "The download is damaged or incomplete. Nothing was installed"
}

try() {
  chmod 755 "$scratch/$1"
  if answer=$("$scratch/$1" --version 2>&1); then return; fi
  case $platform in
    *-musl) say "On Alpine, \"apk add libstdc++\" installs what the executables need" >&2 ;;
  esac
  fail "Refused \"$1\": it does not start here: $(printf '%s\n' "$answer" | head -n 1). Nothing was installed"
}

# In the destination's own directory, because only there is a rename a single step.
open_scratch() {
  mkdir -p "$bin" || fail "Cannot create \"$bin\". Choose another directory with --prefix"
  bin=$(CDPATH='' cd "$bin" && pwd)
  # What a killed run left more than a day ago; a younger one may be at work, on another machine too.
  find "$bin"/.farhand-install.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || true
  trap 'close_scratch' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  scratch=$bin/.farhand-install.$$
  if mkdir -m 700 "$scratch"; then return; fi
  scratch=
  fail "Cannot write to \"$bin\". Choose another directory with --prefix"
}

close_scratch() {
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
}

install() {
  [ -n "$from" ] || misused "--from is missing: there is no public download site yet, so say which URL or" \
    "directory holds the release"
  find_platform
  find_checksummer
  case $from in
    http://* | https://*) find_downloader ;;
    *://*) fail "Cannot read \"$from\": an http or https URL or a directory is needed" ;;
  esac
  open_scratch
  fetch SHA256SUMS
  for name in farhand farhandd; do
    fetch "$name-$platform"
    verify "$name-$platform"
    try "$name-$platform"
  done
  # From here to the end a signal waits: one half of an old pair beside one half of a new one helps nobody.
  trap '' HUP INT TERM
  for name in farhand farhandd; do
    mv -f "$scratch/$name-$platform" "$bin/$name"
    say "Installed $bin/$name: $("$bin/$name" --version)"
  done
  case :${PATH:-}: in
    *":$bin:"*) ;;
    *) say "Note: \"$bin\" is not on your PATH. Add it in your shell's profile" ;;
  esac
}

uninstall() {
  removed=
  for name in farhand farhandd; do
    [ -e "$bin/$name" ] || continue
    rm -f "$bin/$name"
    say "Removed $bin/$name"
    removed=yes
  done
  if [ -z "$removed" ]; then
    say "Nothing to remove: neither farhand nor farhandd is in $bin"
  else
    say "Jobs, settings and a server that is still running were left as they are"
  fi
}

print_versions() {
  found=
  for name in farhand farhandd; do
    [ -e "$bin/$name" ] || continue
    say "$bin/$name: $("$bin/$name" --version 2>&1 || true)"
    found=yes
  done
  if [ -z "$found" ]; then
    say "Not installed: neither farhand nor farhandd is in $bin"
    return 1
  fi
}

find_prefix() {
  if [ "$(id -u)" = 0 ]; then
    prefix=/usr/local
  else
    [ -n "${HOME:-}" ] || fail "HOME is not set. Choose a directory with --prefix"
    prefix=$HOME/.local
  fi
}

main() {
  action=install
  from=${FARHAND_INSTALL_FROM:-}
  prefix=
  child=
  scratch=
  while [ $# -gt 0 ]; do
    case $1 in
      --from=* | --prefix=*)
        option=${1%%=*}
        value=${1#*=}
        ;;
      --from | --prefix)
        [ $# -gt 1 ] || misused "$1 needs a value"
        option=$1
        value=$2
        shift
        ;;
      --version | --uninstall | --help)
        option=$1
        value=none
        ;;
      *) misused "Unknown option \"$1\"" ;;
    esac
    shift
    [ -n "$value" ] || misused "$option needs a value"
    case $option in
      --from) from=$value ;;
      --prefix) prefix=$value ;;
      --version) action=print_versions ;;
      --uninstall) action=uninstall ;;
      --help) action=usage ;;
    esac
  done
  from=${from%/}
  [ -n "$prefix" ] || find_prefix
  bin=${prefix%/}/bin
  "$action"
}

main "$@"
