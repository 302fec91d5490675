#!/usr/bin/env bash
# Runs the benchmarks and prints their tables, as bench/README.md shows them.
#
#   scripts/bench.sh [hub|ledger|payments|stack|receipts|proofs|priority|overhead|checks|agent|gateway|calibrate]…     which ones; default: all but gateway and calibrate, which take ten minutes and a quarter of an hour
#
# The ledger and payments are measured on PostgreSQL too, on a private server that is started for them. "agent" needs the published agent
# (scripts/publish-agent.sh), "gateway" needs nginx, which is installed with apt-get if that is possible. Measure on a machine that does nothing else; the load is printed with the results.
set -o errexit -o nounset -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$repository/scripts/lib/postgres.sh"

"$repository/scripts/setup.sh" --tests
stack=$(sed --quiet --regexp-extended 's:.*<Stack>(.*)</Stack>.*:\L\1:p' "$stack_file")
for project in src/Silo src/NodeAgent bench/Federation.Bench; do
  say "Building $project"
  build "$repository/$project" --configuration Release || fail "$project does not build"
done
stop_compiler_server

binaries=$repository/artifacts/$stack/bin
bench() { "$binaries/Federation.Bench/release/Federation.Bench" "$@"; }
hub=$binaries/Federation.Silo/release/federation-hub
node=$binaries/Federation.NodeAgent/release/federation-node

install_nginx() {
  # Debian has it where only root looks.
  PATH=$PATH:/usr/sbin
  command -v nginx >/dev/null && return
  { [ "$(id --user)" = 0 ] && command -v apt-get >/dev/null; } || fail "nginx was not found; install it, or leave out the benchmark gateway"
  say "Installing nginx"
  { apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends nginx; } >&2 || fail "apt-get could not install nginx"
}

scratch=$(mktemp --directory)
chmod 755 "$scratch"
trap '[ ! -d "$scratch/postgres" ] || stop_postgres "$scratch/postgres"; rm --recursive --force "$scratch"' EXIT

[ $# -gt 0 ] || set -- hub ledger payments stack receipts proofs priority overhead checks agent
printf 'Stack %s, %s processors, load %s\n' "$stack" "$(nproc)" "$(cut --delimiter=' ' --fields=1-3 /proc/loadavg)"
for which in "$@"; do
  printf '\n### %s\n\n' "$which"
  case $which in
    hub) bench hub "$hub" "$node" ;;
    ledger) bench ledger "$(start_postgres "$scratch/postgres" | tail --lines=1)" ;;
    payments) bench payments "$hub" "$(start_postgres "$scratch/postgres" | tail --lines=1)" ;;
    stack) bench stack ;;
    receipts | proofs | priority) bench "$which" ;;
    overhead | checks) bench "$which" "$hub" "$node" "$repository/models" ;;
    agent) bench agent "$repository/artifacts/publish/linux-x64/federation-node" "$hub" ;;
    gateway)
      install_nginx
      bench gateway "$hub" "$node"
      ;;
    calibrate) bench calibrate "$repository/models" "$repository/tests/NodeAgent.Tests/Engines/Builtin/Data/impostor.gguf" ;;
    *) fail "there is no benchmark $which" ;;
  esac
done
