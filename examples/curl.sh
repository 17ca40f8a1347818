#!/bin/sh
# A job's life by curl: examples/curl.sh [http://127.0.0.1:8000]
set -eu
kala=${1:-http://127.0.0.1:8000}

# Every second from in four seconds on: R without a number is without end.
start=$(date -u -d '+4 seconds' +%Y-%m-%dT%H:%M:%SZ)
answer=$(curl --fail-with-body -sS "$kala/api/v1/job/" -d '{
    "name": "tick",
    "command": "date",
    "schedule": "R/'"$start"'/PT1S",
    "owner": "me@example.org"
}')
echo "$answer"
id=$(echo "$answer" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')

sleep 7
echo "The job, with its counters and its last runs:"
curl --fail-with-body -sS "$kala/api/v1/job/$id/"
echo

echo "Its runs alone:"
curl --fail-with-body -sS "$kala/api/v1/job/stats/$id/"
echo

echo "Once more, by hand: answered when the run has ended."
curl --fail-with-body -sS -X POST "$kala/api/v1/job/start/$id/"

echo "Every minute from now on, and with two more attempts when it fails:"
curl --fail-with-body -sS -X PATCH "$kala/api/v1/job/$id/" -d '{
    "schedule": "R/'"$(date -u -d '+1 minute' +%Y-%m-%dT%H:%M:%SZ)"'/PT1M",
    "retries": 2
}'
echo

curl --fail-with-body -sS -X POST "$kala/api/v1/job/disable/$id/"
curl --fail-with-body -sS -X POST "$kala/api/v1/job/enable/$id/"

echo "All jobs, and the totals:"
curl --fail-with-body -sS "$kala/api/v1/job/"
echo
curl --fail-with-body -sS "$kala/api/v1/stats/"
echo

curl --fail-with-body -sS -X DELETE "$kala/api/v1/job/$id/"
echo "Deleted."
