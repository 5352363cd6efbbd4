# One image for all five services: docker-compose.yml sets the command of each container.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS packages
COPY requirements.lock /build/
RUN python -m venv /opt/onefold \
 && /opt/onefold/bin/pip install --no-cache-dir --no-deps --require-hashes -r /build/requirements.lock

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="onefold" \
      org.opencontainers.image.description="An open-source customer data platform" \
      org.opencontainers.image.licenses="Apache-2.0"
# /data belongs to the account before a volume is mounted on it, so that the volume does, too.
RUN groupadd --system --gid 10001 onefold \
 && useradd --system --uid 10001 --gid onefold --home-dir /data --no-create-home \
    --shell /usr/sbin/nologin onefold \
 && install --directory --mode=0700 --owner=onefold --group=onefold /data
COPY --from=packages /opt/onefold /opt/onefold
WORKDIR /app
COPY LICENSE ./
COPY gen/ gen/
COPY services/ services/
COPY packs/ packs/
ENV PATH=/opt/onefold/bin:$PATH \
    PYTHONPATH=/app:/app/gen \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN python -m compileall -q services gen
USER 10001:10001
