# Athena's API for LocalStack; the context is the repository. The folders lie to each other as they do there.
FROM python:3.13-slim-bookworm
COPY localstack/localstack-requirements.txt /tmp/
RUN pip install --no-cache-dir --constraint /tmp/localstack-requirements.txt boto3 duckdb \
    && rm /tmp/localstack-requirements.txt
COPY table/sql/views/ /opt/millrace/table/sql/views/
COPY localstack/*.py /opt/millrace/localstack/
USER 10001:10001
EXPOSE 4567
HEALTHCHECK --interval=3s --timeout=3s --start-period=30s --retries=5 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:4567/health')"]
CMD ["python", "/opt/millrace/localstack/athena.py", "--listen", "0.0.0.0:4567", "--endpoint", "http://localstack:4566"]
