#!/bin/sh
# Make the secrets that docker-compose.yml mounts: random, one file each, none twice.
#
#     deploy/docker/make-secrets.sh [FOLDER]        default: secrets/ beside docker-compose.yml
#
# What is there already stays; to change a secret, delete its file, run this again, then `docker compose up -d
# --force-recreate`. The folder is open to its owner only. The files in it are readable by all: each container sees
# nothing but its own, mounted one by one, under a user id that does not exist on this machine.
set -eu

folder=${1:-$(dirname "$0")/../../secrets}

random() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }

# No newline at the end: it would become part of the password for some programs and not for others.
keep() {
    if [ -s "$folder/$1" ]; then
        return
    fi
    printf '%s' "$2" >"$folder/.new"
    chmod 444 "$folder/.new"
    mv -f "$folder/.new" "$folder/$1"
    echo "made $folder/$1"
}

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

hash_of() { sha256 <"$folder/$1"; }

# What is derived from other secrets is made again whenever it differs.
derive() {
    if [ -s "$folder/$1" ] && [ "$(cat "$folder/$1")" = "$2" ]; then
        return
    fi
    rm -f "$folder/$1"
    keep "$1" "$2"
}

umask 077
mkdir -p "$folder"
chmod 700 "$folder"
printf '*\n' >"$folder/.gitignore"

for name in \
    postgres_superuser_password \
    platform_owner_password \
    platform_password \
    platform_app_password \
    platform_dashboards_password \
    platform_restricted_dashboards_password \
    platform_metrics_password \
    redis_password \
    redis_platform_password \
    redis_metrics_password \
    minio_root_password \
    minio_platform_secret_key \
    errors_token \
    alerts_token \
    grafana_admin_password \
    grafana_secret_key; do
    keep "$name" "$(random)"
done

# Redis keeps hashes. `default` is for applications: everything but administration. `platform` asks for health and the
# lengths of queues, `metrics` is redis_exporter's.
derive redis_users "user default on #$(hash_of redis_password) ~* &* +@all -@admin
user platform on #$(hash_of redis_platform_password) ~* resetchannels -@all +ping +info +client|setname +select +llen +xlen +zcard +scard +xinfo|groups +xpending
user metrics on #$(hash_of redis_metrics_password) ~* resetchannels -@all +@connection +info +config|get +slowlog|get +slowlog|len +latency|latest +latency|histogram +client|list +dbsize +role"

password=$(cat "$folder/redis_metrics_password")
derive redis_exporter_passwords "{\"redis://redis:6379\": \"$password\", \"redis://metrics@redis:6379\": \"$password\"}"

# docker-compose.yml asks for this file: so it stops at once, with this script's name, where secrets are missing.
derive made-by-docker-make-secrets.sh.env "PLATFORM_SECRETS_MADE=yes"
