# Two stages: one builds, the other holds the two programs and the libraries that they load.
# scripts/setup lists the packages of both.

FROM debian:12-slim AS build
WORKDIR /src
# Packages first: they change less often than the sources.
COPY scripts/setup scripts/lib.sh scripts/
RUN scripts/setup
COPY . .
RUN cmake --preset release && cmake --build build --parallel "$(nproc)"

FROM debian:12-slim
WORKDIR /app
COPY scripts/setup scripts/lib.sh scripts/
RUN scripts/setup --runtime && rm -rf /var/lib/apt/lists/*
# Heroku runs the container under a user id that it chooses, so any user must be able to make the
# state folder, which then is that user's alone.
RUN useradd --system --no-create-home --home-dir /app drainwatch && install -d -m 1777 state
COPY --from=build /src/build/bin/ build/bin/
COPY rules.yaml ./
USER drainwatch
# Ingest starts the alerter beside itself. Set this to false if the alerter has a container of its own.
ENV DRAINWATCH_SOLO=true DRAINWATCH_STATE_DIR=state/own
EXPOSE 8080
CMD ["build/bin/drainwatch-ingest"]
