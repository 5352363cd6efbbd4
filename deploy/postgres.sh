#!/bin/bash
# Run once by the postgres image, on an empty volume: the role that the services use, which is no
# superuser, and its database.
set -euo pipefail

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv password ONEFOLD_POSTGRES_PASSWORD
CREATE ROLE onefold LOGIN PASSWORD :'password';
CREATE DATABASE onefold OWNER onefold;
SQL
