#!/usr/bin/env bash
# LocalStack runs this when it is ready; it is healthy for others once this has succeeded.
set -euo pipefail

export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
exec /opt/code/localstack/.venv/bin/python /usr/local/share/millrace/resources.py --prefix millrace --models shapes
