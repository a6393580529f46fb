#!/bin/bash
# The official image's contract. As root: give the data to postgres and become it. On an empty data directory: initdb
# with POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, then a temporary server on the same socket for POSTGRES_DB and
# /docker-entrypoint-initdb.d, then the server that was asked for, in this process.
set -Eeo pipefail

file_env() { # as the official one: NAME, or NAME_FILE, never both
    local file="${1}_FILE"
    if [ "${!1:-}" ] && [ "${!file:-}" ]; then
        printf >&2 'error: both %s and %s are set (but are exclusive)\n' "$1" "$file"
        exit 1
    fi
    local value="${2:-}"
    if [ "${!1:-}" ]; then
        value="${!1}"
    elif [ "${!file:-}" ]; then
        value="$(<"${!file}")"
    fi
    export "$1"="$value"
    unset "$file"
}

psql_run() {
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" "$@"
}

[ "${1:0:1}" != '-' ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
    user=$(id -u)
    mkdir -p "$PGDATA"
    chmod 00700 "$PGDATA" || :
    mkdir -p /var/run/postgresql || :
    chmod 03775 /var/run/postgresql || :
    if [ "$user" = 0 ]; then
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
        exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        file_env POSTGRES_PASSWORD
        file_env POSTGRES_USER postgres
        file_env POSTGRES_DB "$POSTGRES_USER"
        file_env POSTGRES_INITDB_ARGS
        if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
            echo >&2 'Error: Database is uninitialized and superuser password is not specified.'
            exit 1
        fi
        eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
        printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
        shift
        pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@" -c listen_addresses='' -p "${PGPORT:-5432}")" -w start
        set -- postgres "$@"
        if [ "$POSTGRES_DB" != postgres ]; then
            psql_run --dbname postgres --set db="$POSTGRES_DB" <<-'EOSQL'
				CREATE DATABASE :"db" ;
			EOSQL
        fi
        for file in /docker-entrypoint-initdb.d/*; do
            case "$file" in
                *.sh)
                    # shellcheck source=/dev/null
                    if [ -x "$file" ]; then "$file"; else . "$file"; fi
                    ;;
                *.sql) psql_run --dbname "$POSTGRES_DB" -f "$file" ;;
            esac
        done
        pg_ctl -D "$PGDATA" -m fast -w stop
        unset POSTGRES_PASSWORD
        printf '\nPostgreSQL init process complete; ready for start up.\n\n'
    else
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    fi
fi
exec "$@"
