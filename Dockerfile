# Build and try:
#
#   docker build -t kala .
#   docker run --init --stop-timeout 60 -p 127.0.0.1:8000:8000 -v kala:/var/lib/kala kala
#
# --init: what a job leaves behind becomes a child of process 1, and --init brings one that buries such processes.
# --stop-timeout: Docker kills after 10 s by itself; runs in progress may take 30 s (--drain), and ending them 20 more.

FROM python:3.13-slim

WORKDIR /usr/src/kala
COPY pyproject.toml README.md LICENSE ./
COPY kala ./kala
RUN pip install --no-cache-dir '.[all]'

# Jobs run as this user, too. It has an entry in /etc/passwd, since programs such as ssh want one.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/kala kala
USER kala
WORKDIR /var/lib/kala
VOLUME /var/lib/kala

EXPOSE 8000
ENTRYPOINT ["kala"]

# Within the container, 127.0.0.1 could not be reached from outside: so it listens everywhere there, which is refused
# without --insecure, because whoever reaches the port can run commands. -p 127.0.0.1:8000:8000 above publishes it to
# this machine alone; do not publish it wider without something in front that asks who is there. Behind a proxy, or
# when other containers call it by a name, add --allowed-host NAME.
CMD ["serve", "--interface", "0.0.0.0", "--insecure"]
