#!/usr/bin/env bash
# Runs every test there is.
#
#   scripts/test.sh           format check, build and all tests on the stand-ins; then all tests on Orleans and gRPC if those packages restore
#   scripts/test.sh --full    property tests with all of their cases; also what a new user does first: scripts/run.sh --once, each of its
#                             lines checked; and the agent, published
#
# What is missing is installed first (scripts/setup.sh --tests). For packages from another feed, set RestoreConfigFile,
# NUGET_PACKAGES and OrleansVersion, as MSBuild knows them. Results are in artifacts/test-results, one trx file per project and stack.
# The last line says how it went: "N passed, N failed", with ", N skipped" if any were. The exit code is not zero if any failed,
# a project ran no test, or something did not build; each of these counts as a failure.
set -o nounset -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

full=false
for argument in "$@"; do
  case $argument in
    --full) full=true ;;
    --help) sed --quiet '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) fail "there is no option $argument; see --help" ;;
  esac
done

passed=0
failed=0
skipped=0
finished=false
scratch=$(mktemp --directory)
chmod 755 "$scratch"

count_failure() {
  say "FAILED: $*"
  failed=$((failed + 1))
}

finish() {
  trap '' INT TERM
  $finished || count_failure "the run did not come to its end"
  [ ! -d "$scratch/postgres" ] || stop_postgres "$scratch/postgres"
  stop_compiler_server
  rm --recursive --force "$scratch"
  local skips=
  [ "$skipped" = 0 ] || skips=", $skipped skipped"
  printf '%d passed, %d failed%s\n' "$passed" "$failed" "$skips"
  [ "$failed" = 0 ]
  exit
}
trap finish EXIT
trap 'exit 130' INT TERM

# -------------------------------------------------------------------------------------------------------------- provision

"$repository/scripts/setup.sh" --tests || exit
. "$repository/scripts/lib/postgres.sh"
cd "$repository" || exit
results=$repository/artifacts/test-results
rm --recursive --force "$results"

while IFS= read -r lock; do
  say "Installing the packages of $(dirname "$lock")"
  limited 600 npm ci --prefix "$(dirname "$lock")" --no-audit --no-fund --loglevel error >&2 || count_failure "npm ci in $(dirname "$lock")"
done < <(find tests -name package-lock.json -not -path '*/node_modules/*' | sort)

say "Starting PostgreSQL"
if FEDERATION_TEST_POSTGRES=$(start_postgres "$scratch/postgres"); then
  export FEDERATION_TEST_POSTGRES
else
  count_failure "PostgreSQL did not start"
fi

# ------------------------------------------------------------------------------------------------------------------ tests

# A counter of a trx file's summary: counter FILE NAME.
counter() { sed --quiet --regexp-extended "s/.*<Counters [^>]*\<$2=\"([0-9]+)\".*/\1/p" "$1" | head --lines=1; }

run_project() {
  local project=$1 stack=$2 name trx code total
  name=$(basename "$project" .csproj)
  trx=$results/$stack/$name.trx
  say "Testing $name ($stack)"
  limited 1800 dotnet test "$project" -p:Stack="$stack" --no-build --nologo --verbosity quiet --blame-hang-timeout 10min \
    --logger "trx;LogFileName=$trx" --results-directory "$results/$stack/$name" >"$scratch/output" 2>&1 </dev/null
  code=$?
  total=0
  [ ! -f "$trx" ] || total=$(counter "$trx" total)
  if [ "${total:-0}" = 0 ]; then
    cat "$scratch/output" >&2
    count_failure "$name ran no test on $stack (exit code $code)"
    return
  fi
  local bad=$(($(counter "$trx" failed) + $(counter "$trx" error) + $(counter "$trx" timeout) + $(counter "$trx" aborted)))
  passed=$((passed + $(counter "$trx" passed)))
  skipped=$((skipped + total - $(counter "$trx" executed)))
  if [ "$code" != 0 ] || [ "$bad" != 0 ]; then
    cat "$scratch/output" >&2
    # A run that crashed says so by its exit code alone.
    failed=$((failed + (bad > 0 ? bad : 1)))
    say "FAILED: $name on $stack"
  fi
}

run_stack() {
  local stack=$1 project
  say "Building everything ($stack)"
  if ! build Federation.sln -p:Stack="$stack"; then
    count_failure "the build on $stack"
    return
  fi
  for project in tests/*.Tests/*.csproj; do run_project "$project" "$stack"; done
}

# The property tests read it.
if $full; then export FEDERATION_TESTS_FULL=1; fi

run_stack Standin
say "Checking the format"
Stack=Standin limited 900 dotnet format Federation.sln --verify-no-changes --no-restore >"$scratch/output" 2>&1 || {
  head --lines=50 "$scratch/output" >&2
  count_failure "dotnet format would change something"
}

# What run.sh --once prints is what it promises, line by line.
run_once() {
  local line
  "$repository/scripts/run.sh" --once || return
  for line in '^17\+25=42$' '^usage +12 prompt tokens, 3 completion tokens$' '^node +nd_[0-9a-f]{32}$' '^pending +[0-9.]+ credits'; do
    grep --extended-regexp --quiet "$line" "$scratch/output" || return
  done
}

check() {
  local what=$1
  shift
  say "Running $what"
  if "$@" >"$scratch/output" 2>&1; then
    passed=$((passed + 1))
  else
    cat "$scratch/output" >&2
    count_failure "$what"
  fi
}

if $full; then
  check "scripts/run.sh --once" run_once
  check "scripts/publish-agent.sh" "$repository/scripts/publish-agent.sh"
fi

if orleans_restores; then
  run_stack Orleans
else
  say "Skipped the run on Orleans and gRPC: their packages do not restore here."
fi
finished=true
