#!/bin/bash
# Run once by the image's entry point, when the data folder is new.
set -euo pipefail
psql --username=postgres --set=password="$(cat /run/secrets/fleet-db-password)" --file=/roles.sql
