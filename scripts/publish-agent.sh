#!/usr/bin/env bash
# Publishes the node agent as one self-contained file per platform: trimmed, ready to run, nothing to install beside it.
#
#   scripts/publish-agent.sh [rid…]        linux-x64 and win-x64 unless told; also osx-arm64, linux-arm64, … where the package feed
#                                          has that platform's runtime pack
#   STACK=Orleans scripts/publish-agent.sh the gRPC packages in place of the stand-in
#
# Each file is left in artifacts/publish/<rid>/. A platform that could not be published is named, and the exit code is then 1.
set -euo pipefail

if [ "${1:-}" = --help ]; then sed --quiet '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0; fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -gt 0 ] || set -- linux-x64 win-x64

failed=()
for rid in "$@"; do
  # The linker notices no change of its own instructions (src/NodeAgent/Properties/PublishProfiles), so it begins afresh.
  rm --recursive --force "$root/artifacts/publish/$rid" "$root"/artifacts/*/obj/Federation.NodeAgent/release_"$rid"
  if dotnet publish "$root/src/NodeAgent/Federation.NodeAgent.csproj" --runtime "$rid" --property:PublishProfile=agent ${STACK:+--property:Stack=$STACK} \
    --verbosity quiet --nologo; then
    file=$(ls "$root/artifacts/publish/$rid"/federation-node*)
    printf '%-12s %5.1f MB  %s\n' "$rid" "$(wc --bytes < "$file" | awk '{ print $1 / 1e6 }')" "${file#"$root"/}"
  else
    failed+=("$rid")
  fi
done

if [ ${#failed[@]} -gt 0 ]; then
  echo "not published: ${failed[*]}" >&2
  exit 1
fi
