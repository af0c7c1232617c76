#!/bin/sh
# Load the demo databases, as their owner, each in one transaction: all or nothing. Those with tables stay as they are.
#
# Needs PLATFORM_POSTGRES (HOST:PORT) and the passwords in the folder PLATFORM_SECRETS (default /run/secrets).
set -eu

folder=${1:-/demo}
secrets=${PLATFORM_SECRETS:-/run/secrets}
PGHOST=${PLATFORM_POSTGRES%:*} PGPORT=${PLATFORM_POSTGRES##*:}
export PGHOST PGPORT

for file in "$folder"/*.sql.gz; do
    database=$(basename "$file" .sql.gz)
    PGPASSWORD=$(cat "$secrets/platform_owner_password")
    export PGPASSWORD
    tables=$(psql -XAtq -v ON_ERROR_STOP=1 -U platform_owner -d "$database" -c \
        "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'monitoring')")
    if [ "$tables" -gt 0 ]; then
        echo "$database: has $tables tables already"
        continue
    fi
    gzip -dc "$file" | psql -XAtq -v ON_ERROR_STOP=1 --single-transaction -U platform_owner -d "$database" >/dev/null
    echo "$database: loaded"
done
