# One image for all our services; docker-compose.yml has each one's command.
# The digest is that of the tag's multi-platform image; to update: docker buildx imagetools inspect python:3.13.16-slim-trixie
# If Docker's registry can't be reached, name a copy: docker compose build --build-arg PYTHON_IMAGE=…
ARG PYTHON_IMAGE=python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c
FROM $PYTHON_IMAGE AS build
RUN python -m venv --without-pip /opt/smartcrm
# Without requirements-embedded.txt: PostgreSQL and Redis are separate services here, and DATABASE_URL has to be set.
COPY requirements.txt requirements-models.txt /build/
# `--build-arg MODELS=no` leaves out the packages that fit predictions and clusters; KINDS must not have these then.
ARG MODELS=yes
# Remove what is never loaded: tests and sources of compiled modules, Arrow's network modules and duplicates of one of its
# libraries, and other API documentation pages. Of Babel's formats for LOCALE those of the languages named here stay.
RUN pip --python /opt/smartcrm/bin/python install --no-cache-dir --no-compile --only-binary :all: --requirement /build/requirements.txt \
        $(test "$MODELS" = no || echo --requirement /build/requirements-models.txt) \
    && cd /opt/smartcrm/lib/python3*/site-packages \
    && find . -type d "(" -name tests -o -name test ")" -prune -exec rm -r "{}" + \
    && find . -type f "(" -name "*.px[di]" -o -name "*.py[xi]" -o -name "*.h" ")" -delete \
    && rm -r pyarrow/include pyarrow/src pyarrow/*flight* pyarrow/*s3* pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.*.* \
    && find babel/locale-data -regextype posix-extended -name "*.dat" ! -regex \
        ".*/(root|ar|cs|da|de|el|en|es|fi|fr|hi|hu|id|it|ja|ko|nb|nl|no|pl|pt|ro|ru|sv|tr|uk|vi|zh)(_.*)?[.]dat" -delete \
    && rm offapi/redoc.js offapi/scalar.js
COPY . /build/
# Importing the services' modules compiles only those; compiling all modules would take 40 MB more. It has to happen here,
# since the services' file systems are read-only.
RUN pip --python /opt/smartcrm/bin/python install --no-cache-dir --no-compile --no-deps /build \
    && cd /tmp && DATABASE_URL=postgresql://none/ REDIS_URL=redis://none SMARTCRM_HOME=/tmp/home /opt/smartcrm/bin/python -c "import \
        broker.transport, cli.commands, cli.doctor, cli.main, celeryconfig, migrations, source.load, webhook.app, webhook.connections, webhook.server, worker.app, \
        worker.beat, worker.tasks.control, worker.tasks.events, worker.tasks.clusters, worker.tasks.menu, worker.tasks.predictions, worker.tasks.recommendations, \
        worker.tasks.rfm, worker.tasks.trends, \
        alembic.command, babel.dates, babel.messages.pofile, celery.__main__, celery.apps.beat, celery.apps.worker, celery.backends.redis, celery.bin.celery, \
        celery.concurrency.prefork, celery.worker.worker, celery.worker.consumer, flower.app, flower.command, \
        flower.views.tasks, gunicorn.app.wsgiapp, kombu.transport.redis, psycopg_binary._psycopg"

FROM $PYTHON_IMAGE
LABEL org.opencontainers.image.title="SmartCRM Analytics" org.opencontainers.image.licenses="Apache-2.0"
# Only its home and /tmp are writable.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/smartcrm --shell /usr/sbin/nologin smartcrm \
    && install --directory --owner smartcrm --group smartcrm --mode 700 /var/lib/smartcrm
COPY --from=build /opt/smartcrm /opt/smartcrm
# One file of certificate authorities for all connections: PostgreSQL (sslrootcert=system), Redis, Flower's broker page and
# event receivers. The libpq in psycopg's wheel has another default path.
ENV PATH=/opt/smartcrm/bin:$PATH PYTHONUNBUFFERED=1 SMARTCRM_HOME=/var/lib/smartcrm \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /var/lib/smartcrm
USER 10001:10001
CMD ["smartcrm", "--help"]
