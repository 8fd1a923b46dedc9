# syntax=docker/dockerfile:1
# One image for every part of Cymba; the command says which: api, bridge, seal, db upgrade.

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/cymba
WORKDIR /build
COPY requirements/base.txt requirements/build.txt requirements/
RUN /opt/cymba/bin/pip install --require-hashes -r requirements/base.txt -r requirements/build.txt
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
RUN /opt/cymba/bin/pip install --no-deps --no-build-isolation . \
 && /opt/cymba/bin/pip uninstall --yes setuptools

FROM python:3.12-slim-bookworm
COPY --from=build /opt/cymba /opt/cymba
ENV PATH=/opt/cymba/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CYMBA_DATA_DIR=/data
# Volumes that are new take the owner of these folders.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin cymba \
 && install -d -o cymba -g cymba /data /credentials
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["cymba"]
CMD ["--help"]
