#!/bin/sh
# Makes the secrets of docker-compose.yml, once: existing ones are kept. They are the token that protects the Ray cluster,
# and the password of Grafana's user admin.
#
# Compose mounts the files as they are, whoever owns them, and the users in the containers must be able to read them. So
# the files are readable by all, and the folder around them, which is not mounted, keeps other users of this machine out.
set -eu
secrets="$(dirname "$0")/secrets"
mkdir -p "$secrets"
chmod 700 "$secrets"
for name in ray_auth_token grafana_admin_password; do
    secret="$secrets/$name"
    if [ ! -s "$secret" ]; then
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$secret"
    fi
    chmod 444 "$secret"
done
