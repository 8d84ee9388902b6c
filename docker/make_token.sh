#!/bin/sh
# Makes the token with which the cluster of docker-compose.yml is protected, once: an existing one is kept.
#
# Compose mounts the file as it is, whoever owns it, and the user in the containers must be able to read it. So the file
# is readable by all, and the folder around it, which is not mounted, keeps other users of this machine out.
set -eu
secrets="$(dirname "$0")/secrets"
token="$secrets/ray_auth_token"
mkdir -p "$secrets"
chmod 700 "$secrets"
if [ ! -s "$token" ]; then
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$token"
fi
chmod 444 "$token"
