#!/bin/sh
# Runs PgBouncer before the database, for the services' role.
#
#   SERVICE_DATABASE_PASSWORD   of cymba_service, here and there
#
# Files, outside a container in the folders PGBOUNCER_CONFIG and PGBOUNCER_RUN:
#   pgbouncer.ini
set -eu
umask 077

config=${PGBOUNCER_CONFIG:-/etc/cymba/pgbouncer}
run=${PGBOUNCER_RUN:-/run/pgbouncer}

: "${SERVICE_DATABASE_PASSWORD:?}"
quoted=$(printf %s "$SERVICE_DATABASE_PASSWORD" | sed 's/"/""/g')
printf '"cymba_service" "%s"\n' "$quoted" >"$run/users"
sed "s|/run/pgbouncer/|$run/|" "$config/pgbouncer.ini" >"$run/pgbouncer.ini"

exec pgbouncer "$run/pgbouncer.ini"
