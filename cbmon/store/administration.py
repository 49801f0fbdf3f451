"""The third step of the schema: run-time settings, failed runs, and the audit log as a chain.

Rule: as every released step, this one is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from cbmon.store import chain

TABLES: Final = """
CREATE TABLE breaker_settings (
    component {id} PRIMARY KEY,
    kind TEXT, failure_threshold TEXT, failure_rate_threshold TEXT, minimum_calls TEXT,
    window_size TEXT, window_seconds TEXT, slow_call_seconds TEXT, slow_call_rate_threshold TEXT,
    recovery_timeout TEXT, recovery_backoff TEXT, max_recovery_timeout TEXT, recovery_jitter TEXT,
    half_open_max_calls TEXT, success_threshold TEXT, half_open_max_wait TEXT, call_timeout TEXT,
    auto_disable_enabled TEXT, max_failure_cycles TEXT, gradual_return_seconds TEXT,
    adaptive_rules TEXT, adaptive_floor TEXT, adaptive_ceiling TEXT, adaptive_smoothing TEXT,
    adaptive_sensitivity TEXT, adaptive_memory TEXT, adaptive_multiplier TEXT,
    adaptive_latency_limit TEXT, adaptive_latency_floor TEXT, adaptive_latency_ceiling TEXT,
    changed_at DOUBLE PRECISION, changed_by TEXT
);
CREATE TABLE settings_in_force (component {id} PRIMARY KEY, fields TEXT NOT NULL);
CREATE TABLE failures (
    id {id} PRIMARY KEY, at DOUBLE PRECISION NOT NULL, component {id} NOT NULL,
    category TEXT NOT NULL, reason TEXT NOT NULL, error TEXT NOT NULL,
    duration DOUBLE PRECISION NOT NULL
);
CREATE INDEX failures_component ON failures (component, id);
CREATE INDEX failures_at ON failures (at);
ALTER TABLE audit ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN request TEXT;
ALTER TABLE audit ADD COLUMN details TEXT NOT NULL DEFAULT '{{}}';
ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT '';
INSERT INTO meta (key, value) VALUES ('settings_version', '0');
INSERT INTO breaker_settings (component) VALUES ('*')
"""

COUNTED: Final = "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'settings_version'"
SQLITE_TRIGGERS: Final = tuple(
    f"CREATE TRIGGER breaker_settings_{change.lower()} AFTER {change} ON breaker_settings "
    f"BEGIN {COUNTED}; END"
    for change in ("INSERT", "UPDATE", "DELETE")
)
NOTIFY: Final = """
CREATE FUNCTION cbmon_settings_changed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $body$ BEGIN
    UPDATE meta SET value = (value::bigint + 1)::text WHERE key = 'settings_version';
    NOTIFY cbmon_settings;
    RETURN NULL;
END $body$
"""
"""With its owner's rights: who may edit the settings need not be able to edit meta."""
ON_CHANGE: Final = """
CREATE TRIGGER breaker_settings_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
ON breaker_settings FOR EACH STATEMENT EXECUTE FUNCTION cbmon_settings_changed()
"""
POSTGRES_TRIGGERS: Final = (NOTIFY, ON_CHANGE)


def administration(connection: Connection) -> None:
    """Make the tables and triggers, and chain what the audit log has already."""
    postgres = connection.dialect.name == "postgresql"
    identifier = 'TEXT COLLATE "C"' if postgres else "TEXT"
    _run(connection, TABLES.format(id=identifier).split(";"))
    _run(connection, POSTGRES_TRIGGERS if postgres else SQLITE_TRIGGERS)
    chain.adopt(connection)
    _run(connection, ["CREATE UNIQUE INDEX audit_seq ON audit (seq)"])


def _run(connection: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)
