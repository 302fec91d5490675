# Small things that the scripts share. Source this file; it only defines functions and two variables.
#
#   repository               the repository's root
#   say TEXT                 one line of progress
#   fail TEXT                says what went wrong, and stops
#   limited SECONDS COMMAND  runs a command, but no longer than that
#   stop_process ID          asks a process to stop, waits, and at last makes it
#   json_text NAME           the first string of that name in the JSON on standard input (made by our own hub: no escapes)
#   json_number NAME         the first number of that name

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
stack_file="$repository/Stack.props"

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$(basename "$0"): $*"
  exit 1
}

limited() { timeout --kill-after=10 "$@"; }

stop_process() {
  local id=$1 tenths=${2:-400}
  kill -TERM "$id" 2>/dev/null || return 0
  while [ "$tenths" -gt 0 ] && kill -0 "$id" 2>/dev/null; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -KILL "$id" 2>/dev/null || true
  wait "$id" 2>/dev/null || true
}

json_text() { sed --quiet --regexp-extended "s/.*\"$1\": ?\"([^\"]*)\".*/\1/p" | head --lines=1; }

json_number() { sed --quiet --regexp-extended "s/.*\"$1\": ?(-?[0-9]+).*/\1/p" | head --lines=1; }

# Whether this machine's package feed has what the Orleans stack needs.
orleans_restores() {
  limited 300 dotnet restore "$repository/Federation.sln" -p:Stack=Orleans --verbosity quiet --nologo >/dev/null 2>&1
}

# The compiler's server makes builds much quicker, but it outlives them. Ours has a name of its own, so that it can be stopped.
compiler_server="federation-$$"

# Says nothing unless the build fails; then what is wrong, once.
build() {
  local output
  if ! output=$(dotnet build "$@" --nologo --verbosity quiet -nodeReuse:false -p:UseSharedCompilation=true -p:SharedCompilationId="$compiler_server" 2>&1); then
    grep --extended-regexp '(error|warning) ' <<<"$output" | sort --unique | head --lines=50 >&2 || printf '%s\n' "$output" >&2
    return 1
  fi
}

stop_compiler_server() {
  local id
  for id in $(pgrep --full "VBCSCompiler.*$compiler_server" || true); do stop_process "$id" 50; done
}
