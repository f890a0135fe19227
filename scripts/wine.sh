#!/usr/bin/env bash
# Runs a Windows program under Wine: quiet, on one core, in a prefix inside the build folder.
#   scripts/wine.sh PROGRAM.exe [ARGUMENT...]   run it (boots the prefix when that has not been done)
#   scripts/wine.sh --start                     boot it now and keep it warm
#   scripts/wine.sh --stop                      shut it down
#   scripts/wine.sh --is-up                     exit 0 if it runs
# REACTOR_WINEPREFIX names another prefix, with a wineserver of its own; REACTOR_WINESERVER_NICE gives that less weight.
# REACTOR_WINE_BESIDE=1 is a second Wine beside the first: a prefix of its own, on the last core.
# Every kernel call of a Windows program is a round trip to wineserver; on one core that is about 25 times cheaper than
# across two, so both are pinned to the first core this process may use.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=${REACTOR_WINEPREFIX:-$root/build/wineprefix}${REACTOR_WINE_BESIDE:+-beside}
export WINEPREFIX=$prefix WINEARCH=win64 WINEDEBUG=-all
export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe="  # no offers to download .NET or a browser

find_tool() {  # NAME...: the first of them that there is, on the PATH or where Debian puts it
  local folder tool
  for folder in '' /usr/lib/wine/ /usr/lib/*-linux-gnu/wine/; do
    for tool in "$@"; do
      command -v "$folder$tool" && return
    done
  done
  echo "wine.sh: no $1 here: scripts/setup.sh wine installs it" >&2
  return 1
}
wine=$(find_tool wine64)
server=$(find_tool wineserver64 wineserver)
cores=$(taskset -cp $$ | sed 's/.*: //')
core=${cores%%[,-]*}
[ -z "${REACTOR_WINE_BESIDE:-}" ] || core=${cores##*[,-]}

is_up() { "$server" -p0 -k0 2>/dev/null; }  # signal 0: is there a server for this prefix?

# In the foreground of a session of its own, so that its weight can be set from outside: Linux may group processes by
# session (autogroup), and then weighs the groups.
start_server() {
  local more=$((${REACTOR_WINESERVER_NICE:-0} - $(nice)))  # than what this process has
  # shellcheck disable=SC2016  # for the new session's shell
  setsid bash -c '{ echo "$1" >/proc/self/autogroup; } 2>/dev/null; exec nice -n "$2" taskset -c "$3" "$4" -f -p' \
    - "${REACTOR_WINESERVER_NICE:-0}" "$((more > 0 ? more : 0))" "$core" "$server" </dev/null >"$prefix.log" 2>&1 9>&- &
  for _ in {1..600}; do
    ! is_up || return 0
    sleep 0.05
  done
  echo "wine.sh: wineserver does not start: $(<"$prefix.log")" >&2
  return 1
}

start() {
  mkdir -p "$prefix"
  exec 9>"$prefix.lock"
  flock 9
  if ! is_up; then
    # From /dev/null to /dev/null: what it starts stays, and must not hold on to a test runner's pipes.
    start_server
    taskset -c "$core" "$wine" wineboot -i </dev/null >>"$prefix.log" 2>&1 9>&-
    taskset -c "$core" "$wine" reg add 'HKEY_CURRENT_USER\Software\Wine' /v Version /d win10 /f \
      </dev/null >>"$prefix.log" 2>&1 9>&-
  fi
  flock -u 9
  exec 9>&-
}

case ${1:-} in
  "" | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
  --start) start ;;
  --is-up) is_up ;;
  --stop) if is_up; then "$server" -k && "$server" -w; fi ;;
  *)
    start  # also when a server is up: another process may only be half-way through booting it
    exec taskset -c "$core" "$wine" "$@"
    ;;
esac
