#!/bin/sh
# Makes the keys of docker-compose.yml that are missing, one file each, in the folder of the argument
# (by default deploy/secrets). Containers mount them; they are never in an environment.
set -eu
folder=${1:-$(dirname -- "$0")/secrets}
umask 077
mkdir -p -- "$folder"
# The files are readable, because the accounts of the containers read them; the folder is not passable.
chmod 700 -- "$folder"

# Writes a random key of 64 hexadecimal digits, after a prefix such as the number of its version.
make() {
    [ ! -s "$folder/$1" ] || return 0
    printf '%s%s\n' "$2" "$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')" >"$folder/$1.new"
    chmod 444 -- "$folder/$1.new"
    mv -- "$folder/$1.new" "$folder/$1"
}

make internal_key ''
make bus_key ''
make index_key '1.'
make activation_secrets_key '1.'
make admin_key ''
