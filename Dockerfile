# bpftrace-orchestrator with Debian's bpftrace. It traces the host's kernel: run it privileged, with the host's pid
# namespace and its /sys/kernel/tracing and /sys/kernel/debug (README, "Containers and cron").
FROM debian:trixie-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends bpftrace python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE /src/
COPY orchestrator /src/orchestrator
COPY parsers /src/parsers
COPY config /src/config
COPY bt_scripts /src/bt_scripts
RUN python3 -m venv /opt/orchestrate \
    && /opt/orchestrate/bin/pip install --no-cache-dir /src \
    && ln -s /opt/orchestrate/bin/orchestrate /usr/local/bin/orchestrate \
    && rm -rf /src

# A file called orchestrator.py in the working directory must not be taken for the package.
ENV PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
WORKDIR /captures
ENTRYPOINT ["orchestrate"]
CMD ["check"]
