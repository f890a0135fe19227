#!/usr/bin/env bash
# Builds the site of docs/*.md and the API reference: build/docs/html/index.html. Fails on an undocumented public name or a
# dead link.
#   scripts/docs.sh             build it
#   scripts/docs.sh --shots     also open it in headless Chromium, and take pictures of three pages: build/docs/*.png
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-}" in
  '' | --shots) ;;
  *)
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
scripts/setup.sh docs
python3 scripts/docs_site.py
[ "${1:-}" = --shots ] || exit 0

site=$PWD/build/docs/html
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
chromium=(timeout 120 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=5000
  "--user-data-dir=$profile" "--window-size=1400,1800")
# A page and a text that it must show. A script makes the menu, so this shows that scripts run.
while read -r page text; do
  shown=$("${chromium[@]}" --dump-dom "file://$site/$page.html" 2>/dev/null)
  for expected in "$text" Cookbook; do
    [[ $shown == *"$expected"* ]] || {
      echo "FAIL docs: $page does not show '$expected'"
      exit 1
    }
  done
  "${chromium[@]}" --screenshot="$PWD/build/docs/$page.png" "file://$site/$page.html" >/dev/null 2>&1
  # An empty page of this size is a picture of some 10 KiB.
  [ "$(stat -c %s "build/docs/$page.png")" -gt 50000 ] || {
    echo "FAIL docs: build/docs/$page.png is nearly empty"
    exit 1
  }
done <<'PAGES'
index Where to read on
architecture Waiting threads
classreactor_1_1Poller Waits until something is ready
PAGES
# The search finds classes and members, pages and headings.
for word in poller drained glossary; do
  grep -qi "\['$word" "$site"/search/all_*.js || {
    echo "FAIL docs: the search does not find '$word'"
    exit 1
  }
done
echo "PASS docs: three pages opened, pictures in build/docs/*.png"
