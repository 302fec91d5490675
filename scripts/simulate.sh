#!/usr/bin/env bash
# Simulates honest and dishonest nodes under the hub's rules of verification, on virtual time, and writes what came of it.
#
#   scripts/simulate.sh                            10 000 nodes, 60 days, seeds 1 to 20: docs/verification-results.md and its pictures
#   scripts/simulate.sh --seeds 7 --nodes 1000     anything smaller; --output DIRECTORY says where to, see also --days and --parallel
#
# The same seeds give the same figures on every machine. A seed of full size takes about a minute; two run at a time, at low priority.
set -o errexit -o nounset -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

[ "${1:-}" != --help ] || { sed --quiet '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0; }
"$repository/scripts/setup.sh"
stack=$(sed --quiet --regexp-extended 's:.*<Stack>(.*)</Stack>.*:\L\1:p' "$stack_file")
build "$repository/bench/Federation.Simulation" --configuration Release || fail "bench/Federation.Simulation does not build"
stop_compiler_server

case " $* " in
  *" --output "*) ;;
  *) set -- "$@" --output "$repository/docs" ;;
esac
exec nice --adjustment=19 "$repository/artifacts/$stack/bin/Federation.Simulation/release/Federation.Simulation" "$@"
