#!/usr/bin/env bash
# Makes a machine ready to build Federation.
#
#   scripts/setup.sh            checks for the .NET SDK and curl, and asks the package feed, once, which stack can be built here
#   scripts/setup.sh --tests    also for what the tests need: Node.js with npm, and PostgreSQL's server
#   scripts/setup.sh --again    asks the feed again
#
# What is missing is installed with apt-get if that is possible; otherwise you are told what to install. The feed's answer goes
# to Stack.props, which git ignores: Orleans (Microsoft.Orleans.* and Grpc.*) or Standin (our stand-ins of both; one process).
set -o errexit -o nounset -o pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

for_tests=false
again=false
for argument in "$@"; do
  case $argument in
    --tests) for_tests=true ;;
    --again) again=true ;;
    --help) sed --quiet '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) fail "there is no option $argument; see --help" ;;
  esac
done

refreshed=false
install() {
  local command=$1 packages=$2
  command -v "$command" >/dev/null && return
  if [ "$(id --user)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "$command was not found. Install it: $packages${3:+. $3}"
  fi
  say "Installing $packages"
  $refreshed || apt-get update --quiet=2 >&2
  refreshed=true
  # Unquoted: more than one package.
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 $packages >&2 || fail "apt-get could not install $packages${3:+. $3}"
}

install dotnet dotnet-sdk-10.0 "Debian has it from Microsoft's package feed: https://learn.microsoft.com/dotnet/core/install/linux-debian"
dotnet --list-sdks | grep --quiet '^10\.' || fail "the .NET SDK 10 was not found; there is: $(dotnet --list-sdks | cut --delimiter=' ' --fields=1 | tr '\n' ' '). See https://dot.net"
install curl curl
install pgrep procps
if $for_tests; then
  install node nodejs
  install npm npm
  . "$repository/scripts/lib/postgres.sh"
  install_postgres || fail "PostgreSQL's server is missing"
fi

if $again || [ ! -f "$stack_file" ]; then
  say "Asking the package feed for Orleans and gRPC"
  if orleans_restores; then stack=Orleans; else stack=Standin; fi
  printf '<Project><PropertyGroup><Stack>%s</Stack></PropertyGroup></Project>\n' "$stack" >"$stack_file.new"
  mv "$stack_file.new" "$stack_file"
  if [ "$stack" = Orleans ]; then say "They are there: this build can run several silos"; else say "They are not: building on the stand-ins, which run one process"; fi
fi
