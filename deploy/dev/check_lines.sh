#!/usr/bin/env bash
# No Python module over 500 lines: past that it is more than one idea.
set -euo pipefail
cd "$(dirname "$0")/../.."
limit=500
long=$(find protocols cabinet fleet simulator tests deploy -name '*.py' -exec wc -l {} + \
  | awk -v limit="$limit" '$2 != "total" && $1 > limit { print "  " $2 ": " $1 " lines" }')
if [ -n "$long" ]; then
  printf 'modules over %s lines; split them:\n%s\n' "$limit" "$long" >&2
  exit 1
fi
echo "modules: none over $limit lines"
