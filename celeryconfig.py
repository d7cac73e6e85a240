"""Celery's configuration: queues, limits, acknowledgement and the beat schedule, all from Settings.

Redis carries task messages (run ids and part numbers); PostgreSQL holds what was requested and done. So a message that
is lost or delivered twice costs time, but no results.
"""

from datetime import timedelta

from kombu.entity import Queue
from kombu.transport import TRANSPORT_ALIASES

from kinds import KINDS
from settings import Settings

_settings = Settings.from_env()
_redis = _settings.redis

# Kombu's transports, extended to drop messages that can't be read.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "broker.transport:Transport"))
TRANSPORT_ALIASES["sentinel"] = "broker.transport:SentinelTransport"

# Messages and results share one database, since managed servers often have no second one.
broker_url = result_backend = _redis.celery_url
broker_use_ssl = redis_backend_use_ssl = _redis.tls
timezone = _settings.timezone
enable_utc = True
include = ["worker.tasks.control", "worker.tasks.events", "reports.tasks", *(f"worker.tasks.{name}" for name in KINDS)]

# Only JSON is accepted: pickled messages could execute code.
task_serializer = result_serializer = event_serializer = "json"
accept_content = result_accept_content = ["json"]

task_default_queue = "control"
task_queues = (Queue("control"), Queue("compute"))
task_create_missing_queues = False

# One message per process at a time, acknowledged after its work is committed.
task_acks_late = True
worker_prefetch_multiplier = 1
worker_concurrency = _settings.concurrency
worker_disable_prefetch = True
# In kilobytes, the highest since the process began: above what the parts of all kinds take, since a new process needs
# seconds until its first task.
worker_max_memory_per_child = 600_000
worker_deduplicate_successful_tasks = False
task_retry_on_worker_lost = True
worker_lost_wait = 2  # seconds until a child that is gone is reported as lost; the default is 10
task_reject_on_worker_lost = False  # True would repeat a task that runs out of memory for ever

# Each limit is shorter than the next, so that a message is not delivered again while its task may still run.
task_soft_time_limit = 50 * 60
task_time_limit = 55 * 60
_visibility_timeout = 60 * 60
result_expires = 2 * 60 * 60
result_chord_expires = 2 * 60 * 60
broker_transport_options = {
    **_redis.celery_options,
    "visibility_timeout": _visibility_timeout,
    "socket_connect_timeout": 3,
    "socket_timeout": 20,  # without it a worker waits for ever for a Redis whose host has gone
    "socket_keepalive": True,
}
result_backend_transport_options = {**_redis.celery_options, "visibility_timeout": _visibility_timeout}
visibility_timeout = _visibility_timeout
redis_socket_connect_timeout = 3
redis_socket_timeout = 20
redis_socket_keepalive = True
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

worker_soft_shutdown_timeout = 10
worker_enable_soft_shutdown_on_idle = False
worker_hijack_root_logger = False
worker_send_task_events = task_send_sent_event = True
worker_cancel_long_running_tasks_on_connection_loss = False
task_track_started = True
task_allow_error_cb_on_chord_header = False

beat_scheduler = "worker.beat:Scheduler"
beat_max_loop_interval = 5
beat_enable_remote_control = True
beat_remote_control_max_tick_age = 60  # seconds without a tick after which it answers no ping; the default is 600
beat_schedule = {"sweep": {"task": "smartcrm.sweep", "schedule": timedelta(seconds=5)}}
