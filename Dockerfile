# One image for every service of ours; docker-compose.yml says which command each one runs.
FROM python:3.13.16-slim-trixie AS build
RUN python -m venv --without-pip /opt/smartcrm
COPY requirements.txt /build/
RUN pip --python /opt/smartcrm/bin/python install --no-cache-dir --only-binary :all: --requirement /build/requirements.txt
COPY . /build/
RUN pip --python /opt/smartcrm/bin/python install --no-cache-dir --no-deps /build

FROM python:3.13.16-slim-trixie
# Its home, where the schedule and secrets of its own go, is all that it may write to beside /tmp.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/smartcrm --shell /usr/sbin/nologin smartcrm \
    && install --directory --owner smartcrm --group smartcrm --mode 700 /var/lib/smartcrm
COPY --from=build /opt/smartcrm /opt/smartcrm
ENV PATH=/opt/smartcrm/bin:$PATH PYTHONUNBUFFERED=1 SMARTCRM_HOME=/var/lib/smartcrm
WORKDIR /var/lib/smartcrm
USER 10001:10001
CMD ["smartcrm", "--help"]
