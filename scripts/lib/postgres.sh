# Private PostgreSQL clusters for tests and demonstrations. Source this file; it only defines functions.
#
#   install_postgres        installs PostgreSQL's server with apt when it is missing and we may; fails with advice otherwise
#   start_postgres DIR [PORT]  makes a cluster in DIR unless there is one, starts it unless it runs, prints a connection string
#   stop_postgres DIR       stops the cluster in DIR if it runs; its data stays
#   remove_postgres DIR     stops it and deletes DIR
#
# DIR is best a fresh folder under /tmp: run by root, the server runs as another user, who must be able to reach it.
# A cluster listens on 127.0.0.1 only, on a free port or the one it is told, and trusts whoever reaches it: good for a test, for nothing else.
# It keeps its defaults otherwise, fsync among them, so that what is measured on it means something.

# Prints the folder that has initdb and pg_ctl.
postgres_bin() {
  local dir
  for dir in "${FEDERATION_POSTGRES_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort --version-sort --reverse) \
    /opt/homebrew/opt/postgresql*/bin /usr/local/pgsql/bin "$(dirname "$(command -v initdb || echo /nowhere/initdb)")"; do
    if [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ]; then
      echo "$dir"
      return 0
    fi
  done
  echo "PostgreSQL's server (initdb, pg_ctl) was not found; install it or set FEDERATION_POSTGRES_BIN to its bin folder." >&2
  return 1
}

install_postgres() {
  postgres_bin >/dev/null 2>&1 && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update --quiet=2 >&2 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 postgresql >&2 || return 1
  fi
  postgres_bin >/dev/null
}

# Runs a command as who may run a server: PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" != 0 ]; then
    "$@"
  elif id postgres >/dev/null 2>&1; then
    (cd / && setpriv --reuid=postgres --regid=postgres --init-groups "$@")
  else
    (cd / && setpriv --reuid=nobody --regid=nogroup --clear-groups "$@")
  fi
}

start_postgres() {
  local dir=$1 wanted=${2:-} bin port attempt
  bin=$(postgres_bin) || return 1
  mkdir --parents "$dir" || return 1
  dir=$(cd "$dir" && pwd)
  if [ ! -f "$dir/PG_VERSION" ]; then
    if [ "$(id -u)" = 0 ]; then
      if id postgres >/dev/null 2>&1; then chown postgres "$dir"; else chown nobody "$dir"; fi || return 1
    fi
    as_postgres "$bin/initdb" --pgdata="$dir" --username=federation --auth=trust --encoding=UTF8 --locale=C --no-sync >"$dir.initdb.log" 2>&1 \
      || { cat "$dir.initdb.log" >&2; return 1; }
    rm -f "$dir.initdb.log"
  fi

  if ! as_postgres "$bin/pg_ctl" --pgdata="$dir" status >/dev/null 2>&1; then
    for attempt in 1 2 3 4 5 6 7 8; do
      port=${wanted:-$((20000 + (RANDOM * 32768 + RANDOM) % 12000))}
      # Somebody listens there already: draw again.
      (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
      as_postgres "$bin/pg_ctl" --pgdata="$dir" --wait --timeout=60 --silent --log="$dir/server.log" \
        --options="-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='' -c max_connections=200" start \
        </dev/null >/dev/null 2>&1 && break
      [ "$attempt" = 8 ] && { tail -n 20 "$dir/server.log" >&2; return 1; }
    done
  fi

  # The fourth line of postmaster.pid is the port.
  port=$(as_postgres sed --quiet 4p "$dir/postmaster.pid")
  echo "Host=127.0.0.1;Port=$port;Username=federation;Database=postgres"
}

stop_postgres() {
  local bin
  bin=$(postgres_bin) || return 1
  [ -f "$1/PG_VERSION" ] || return 0
  as_postgres "$bin/pg_ctl" --pgdata="$(cd "$1" && pwd)" status >/dev/null 2>&1 || return 0
  as_postgres "$bin/pg_ctl" --pgdata="$(cd "$1" && pwd)" --wait --mode=fast --silent stop
}

remove_postgres() {
  stop_postgres "$1" && rm --recursive --force "$1"
}
