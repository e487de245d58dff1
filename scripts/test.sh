#!/bin/sh
# All tests, in three steps: unit and integration with coverage, then the end-to-end tests. Usage: scripts/test.sh BIN
# Tests that need PostgreSQL read its URL from TUTELAGE_TEST_POSTGRESQL, those that need a browser look for
# /usr/bin/chromium; without them they are skipped and say so.
set -eu
bin=$1
export OMP_WAIT_POLICY=PASSIVE
echo "Unit and integration tests ..."
"$bin/python" -m pytest -n 2 --cov --cov-report=term:skip-covered -rs
echo "End-to-end tests ..."
"$bin/python" -m pytest -m e2e -rs
