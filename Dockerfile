# One image for verify, Locust's master and workers, and the gate: what runs is the command.
#
#   docker run --rm -e TRAFFICSPLIT_HOST=http://gateway -e TRAFFICSPLIT_WEIGHT=25 trafficsplit:0.2.0
#   docker run --rm trafficsplit:0.2.0 gate --help
#
# Two stages, so that pip and compilers stay behind. Debian and not Alpine: pyarrow has no wheels for
# musl, and neither has the lab's Envoy, which is left out of the image.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements-image.lock ./
# With bytecode, which a read-only file system could not take later: a start is half as long.
RUN python -m venv /venv && \
    /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY color color
COPY istio istio
COPY locustfiles locustfiles
COPY src src
# The locustfile goes with the package: `trafficsplit locustfile` says where it is.
RUN /venv/bin/pip install --no-cache-dir --no-build-isolation --no-deps . && \
    /venv/bin/pip uninstall --yes hatchling editables pathspec trove-classifiers pip

FROM python:3.13-slim
COPY --from=build /venv /venv
WORKDIR /trafficsplit
# A number, not a name: Kubernetes' runAsNonRoot can check only that. The file system may be read-only:
# all that is written goes to /trafficsplit/reports and /tmp, which are then volumes.
RUN mkdir reports && chown 10001:10001 reports
USER 10001
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
EXPOSE 8080 8089 5557
ENTRYPOINT ["trafficsplit"]
CMD ["verify"]
