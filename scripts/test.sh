#!/bin/sh
# All tests, in three steps: unit and integration with coverage, then the end-to-end tests. Usage: scripts/test.sh BIN
# Tests that need PostgreSQL read its URL from TUTELAGE_TEST_POSTGRESQL, those that need a browser look for
# /usr/bin/chromium; without them they are skipped and say so.
set -eu
bin=$1
export OMP_WAIT_POLICY=PASSIVE
echo "Unit and integration tests ..."
status=0
"$bin/python" -m pytest -n 2 --cov --cov-report= --disable-warnings -rfEs || status=$?
echo "Coverage: $("$bin/python" -m coverage report --format=total) % of lines and branches"
[ "$status" -eq 0 ] || exit "$status"
echo "End-to-end tests ..."
"$bin/python" -m pytest -m e2e --disable-warnings -rfEs
