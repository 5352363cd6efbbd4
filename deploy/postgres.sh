#!/bin/bash
# Creates the database of the services and its role, which is no superuser. The postgres image runs
# this script once, on an empty volume.
set -euo pipefail

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv password ONEFOLD_POSTGRES_PASSWORD
CREATE ROLE onefold LOGIN PASSWORD :'password';
CREATE DATABASE onefold OWNER onefold;
SQL
