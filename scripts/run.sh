#!/usr/bin/env bash
# Starts a hub and a node agent with a real model on this machine.
#
#   scripts/run.sh              builds both, starts them, prints how to call the hub, and runs until Ctrl-C
#   scripts/run.sh --once       asks the model one question, shows what came of it, and stops; nothing of it stays
#   scripts/run.sh --data DIR   keeps the hub's and the node's data there (default: data/run, which git ignores)
#   scripts/run.sh --port N     the API's port; nodes use the next one (default: 8080, or any free ones if it is taken)
set -o errexit -o nounset -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

once=false
data=$repository/data/run
port=
while [ $# -gt 0 ]; do
  case $1 in
    --once) once=true ;;
    --data) data=${2:?--data needs a directory}; shift ;;
    --port) port=${2:?--port needs a number}; shift ;;
    --help) sed --quiet '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) fail "there is no option $1; see --help" ;;
  esac
  shift
done

hub_process=
node_process=
scratch=
stop_everything() {
  trap '' INT TERM
  # The node first: it hands back what it works on, and the hub is still there to take it.
  [ -z "$node_process" ] || stop_process "$node_process"
  [ -z "$hub_process" ] || stop_process "$hub_process"
  stop_compiler_server
  [ -z "$scratch" ] || rm --recursive --force "$scratch"
}
trap stop_everything EXIT
trap 'say "Stopping"; exit 130' INT TERM

# ------------------------------------------------------------------------------------------------------------------ build

"$repository/scripts/setup.sh"
stack=$(sed --quiet --regexp-extended 's:.*<Stack>(.*)</Stack>.*:\L\1:p' "$stack_file")
say "Building the hub"
build "$repository/src/Silo/Federation.Silo.csproj" --configuration Release || fail "the hub does not build"
say "Building the node agent"
build "$repository/src/NodeAgent/Federation.NodeAgent.csproj" --configuration Release || fail "the node agent does not build"
stop_compiler_server
hub=$repository/artifacts/$stack/bin/Federation.Silo/release/federation-hub.dll
node=$repository/artifacts/$stack/bin/Federation.NodeAgent/release/federation-node.dll

# -------------------------------------------------------------------------------------------------------------------- hub

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

if $once; then
  scratch=$(mktemp --directory)
  data=$scratch
  listen=127.0.0.1:0
elif [ -n "$port" ]; then
  listen=127.0.0.1:$port
elif is_taken 8080 || is_taken 8081; then
  listen=127.0.0.1:0
else
  listen=127.0.0.1:8080
fi
# Keys and logs are for whoever runs this, nobody else.
umask 077
mkdir --parents "$data"
data=$(cd "$data" && pwd)
export FEDERATION_NODE_HOME=$data/node
hub_log=$data/hub.log
node_log=$data/node.log

# Waits until a log has a line that begins so; stops with the log's end when the process dies or takes too long.
wait_for_line() {
  local process=$1 log=$2 line=$3 tenths=600
  until grep --quiet "^$line" "$log"; do
    if ! kill -0 "$process" 2>/dev/null || [ "$tenths" = 0 ]; then
      tail --lines=20 "$log" >&2
      fail "$(basename "$log" .log) did not start; its log is $log"
    fi
    sleep 0.1
    tenths=$((tenths - 1))
  done
}

say "Starting the hub"
: >"$hub_log"
dotnet "$hub" run --data "$data/hub" --listen "$listen" </dev/null >>"$hub_log" 2>&1 &
hub_process=$!
wait_for_line "$hub_process" "$hub_log" "Ready"
url=$(sed --quiet 's/^API *//p' "$hub_log")
operator() { dotnet "$hub" "$@" --hub "$url" --key-file "$data/hub/admin.key"; }
call() { curl --silent --show-error --fail-with-body --max-time 60 --header "Authorization: Bearer ${2:-$key}" "$url$1"; }

# The contributor and the client of this demonstration are two accounts, since nobody is paid for work of their own; neither key is an admin's.
# Makes an account with a key, once, and prints the key: account_key NAME SCOPE...
account_key() {
  local name=$1 file=$data/$1.key
  shift
  if [ ! -f "$file" ]; then
    operator key create "$name" --account "$(operator account create "$name" | json_text id)" --scope "$@" | json_text key >"$file"
  fi
  cat "$file"
}
owner_key=$(account_key owner inference contribute)
key=$(account_key caller inference)

# ------------------------------------------------------------------------------------------------------------------- node

mkdir --parents "$FEDERATION_NODE_HOME"
if [ ! -f "$FEDERATION_NODE_HOME/config.json" ]; then
  say "Joining the node"
  cat >"$FEDERATION_NODE_HOME/config.json" <<JSON
{
  "engines": {
    "builtin": { "models_directory": "$repository/models", "slots": 4 }
  }
}
JSON
  owner=$(call /v1/account "$owner_key" | json_text id)
  token=$(operator join-token create --account "$owner" | json_text join_token)
  dotnet "$node" join "$url" --token "$token" >/dev/null || { rm --force "$FEDERATION_NODE_HOME/config.json"; fail "the node could not join"; }
fi
say "Starting the node"
: >"$node_log"
dotnet "$node" run </dev/null >>"$node_log" 2>&1 &
node_process=$!
tenths=600
until call /v1/models | grep --quiet '"federation-demo"'; do
  if ! kill -0 "$node_process" 2>/dev/null || [ "$tenths" = 0 ]; then
    tail --lines=20 "$node_log" >&2
    fail "the node did not come online; its log is $node_log"
  fi
  sleep 0.1
  tenths=$((tenths - 1))
done

# -------------------------------------------------------------------------------------------------------------- questions

question='{"model":"federation-demo","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"17+25="}]}'

if ! $once; then
  cat <<TEXT

The hub runs at   $url/v1
API key           $key
Logs              $hub_log
                  $node_log

Ask it something:

  curl --no-buffer $url/v1/chat/completions --header 'Authorization: Bearer $key' --header 'Content-Type: application/json' --data '$question'

Stop with Ctrl-C.
TEXT
  wait -n "$hub_process" "$node_process" || true
  fail "the hub or the node stopped by itself; see the logs"
fi

printf '17+25='
curl --silent --show-error --fail-with-body --no-buffer --max-time 60 --dump-header "$data/headers" "$url/v1/chat/completions" \
  --header "Authorization: Bearer $key" --header 'Content-Type: application/json' --data "$question" \
  | tee "$data/answer" | sed --unbuffered --quiet --regexp-extended 's/^data: .*"delta":\{[^}]*"content":"([^"]*)".*/\1/p' | while IFS= read -r piece; do printf "%b" "$piece"; done
printf "\n"
grep --quiet '^data: \[DONE\]' "$data/answer" || { cat "$data/answer" >&2; fail "the answer did not come to its end"; }
printf 'usage    %s prompt tokens, %s completion tokens\n' "$(json_number prompt_tokens <"$data/answer")" "$(json_number completion_tokens <"$data/answer")"
printf 'node     %s\n' "$(sed --quiet 's/^x-federation-node: *//p' "$data/headers" | tr --delete '\r')"

# The node signs its receipt after the answer; with that, its owner is credited.
tenths=100
until pending=$(call /v1/account "$owner_key" | json_number pending_microcredits) && [ "${pending:-0}" -gt 0 ]; do
  [ "$tenths" -gt 0 ] || fail "the node's owner was not credited within ten seconds; the logs: $(tail --lines=5 "$hub_log" "$node_log")"
  sleep 0.1
  tenths=$((tenths - 1))
done
printf 'pending  %d.%06d credits for its owner\n' $((pending / 1000000)) $((pending % 1000000))
